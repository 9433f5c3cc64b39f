"""The manifest for KubeRay holds only fields that KubeRay has, with values of their kinds, and a command that there is.

The names are those of its API reference for ray.io/v1 (docs/reference/api.md of ray-project/kuberay, operator 1.4).
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import typer
import yaml

from punie_trace.cli.main import app

FILE = Path(__file__).parents[2] / "examples" / "kuberay.yaml"
RAY_JOB = {
    "activeDeadlineSeconds": int, "backoffLimit": int, "rayClusterSpec": dict, "submitterPodTemplate": dict,
    "metadata": dict, "clusterSelector": dict, "submitterConfig": dict, "managedBy": str, "deletionStrategy": dict,
    "entrypoint": str, "runtimeEnvYAML": str, "jobId": str, "submissionMode": str, "entrypointResources": str,
    "entrypointNumCpus": (int, float), "entrypointNumGpus": (int, float), "ttlSecondsAfterFinished": int,
    "shutdownAfterJobFinishes": bool, "suspend": bool,
}  # fmt: skip
RAY_CLUSTER = {
    "suspend": bool, "managedBy": str, "autoscalerOptions": dict, "headServiceAnnotations": dict,
    "enableInTreeAutoscaling": bool, "gcsFaultToleranceOptions": dict, "headGroupSpec": dict, "rayVersion": str,
    "workerGroupSpecs": list,
}  # fmt: skip
HEAD = {"template": dict, "headService": dict, "enableIngress": bool, "rayStartParams": dict, "serviceType": str}
WORKERS = {
    "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int, "idleTimeoutSeconds": int,
    "rayStartParams": dict, "template": dict, "scaleStrategy": dict, "numOfHosts": int, "suspend": bool,
}  # fmt: skip
POD = {
    "containers": list,
    "volumes": list,
    "topologySpreadConstraints": list,
    "nodeSelector": dict,
    "tolerations": list,
}
CONTAINER = {
    "name": str,
    "image": str,
    "resources": dict,
    "volumeMounts": list,
    "env": list,
    "command": list,
    "args": list,
}


def check(values: dict[str, Any], schema: dict[str, Any], where: str) -> None:
    for name, value in values.items():
        assert name in schema, f"{where} has no field {name}"
        assert isinstance(value, schema[name]), f"{where}.{name} is {value!r}"


def groups() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    cluster = yaml.safe_load(FILE.read_text())["spec"]["rayClusterSpec"]
    return [
        ("head", cluster["headGroupSpec"], HEAD),
        *(("workers", one, WORKERS) for one in cluster["workerGroupSpecs"]),
    ]


def test_every_field_is_one_of_kuberays_and_of_its_kind() -> None:
    manifest = yaml.safe_load(FILE.read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    check(manifest["spec"], RAY_JOB, "RayJob.spec")
    check(manifest["spec"]["rayClusterSpec"], RAY_CLUSTER, "rayClusterSpec")
    for where, group, schema in groups():
        check(group, schema, where)
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "KubeRay takes texts alone"
        pod = group["template"]["spec"]
        check(pod, POD, f"{where}.template.spec")
        for container in pod["containers"]:
            check(container, CONTAINER, f"{where}.container")
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            assert mounted <= {volume["name"] for volume in pod.get("volumes", ())}


def test_all_pods_have_one_image_and_a_generator_has_a_worker() -> None:
    images = {one["image"] for _, group, _ in groups() for one in group["template"]["spec"]["containers"]}
    assert len(images) == 1
    words = shlex.split(yaml.safe_load(FILE.read_text())["spec"]["entrypoint"])
    assert int(words[words.index("--generators") + 1]) == sum(
        one["replicas"] for where, one, _ in groups() if where != "head"
    )


def test_its_command_is_one_that_there_is() -> None:
    program, command, *rest = shlex.split(yaml.safe_load(FILE.read_text())["spec"]["entrypoint"])
    assert program == "punie-trace"
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009  # typer's own type does not tell
    known = {name for option in commands[command].params for name in option.opts}
    assert {word for word in rest if word.startswith("--")} <= known
