"""A program that asks a model, and knows nothing of who measures it: its address is in OPENAI_BASE_URL.

Its words and its tools are those that the model in the package was trained on.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

from punie_trace.agent.definitions import definitions_of
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace

tools = Toolbox(Workspace(Path.cwd()), max_chars=600).functions()
messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": sys.argv[1]}]


def ask():
    body = {
        "model": os.environ["OPENAI_MODEL"],
        "messages": messages,
        "tools": definitions_of(tools),
        "temperature": 0,
        "max_tokens": 480,
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]


answer = ask()
while calls := answer.get("tool_calls"):
    messages.append(answer)
    for call in calls:
        result = tools[call["function"]["name"]](**json.loads(call["function"]["arguments"]))
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    answer = ask()
print(answer["content"])
