"""Lists of terms that questions about software name: kinds of things, frameworks, products, names from libraries.

No code base holds them by itself: names of its own are made in `names`.
"""

from __future__ import annotations

from punie_trace.suite.fresh.names import word_list

KNOWN_THINGS = word_list(
    """
    view model serializer signal migration mixin decorator middleware validator fixture manager queryset form
    permission template task test handler command route endpoint factory adapter exception constant setting
    import field method hook plugin schema router filter throttle backend cache query url redirect cookie
    session token webhook event listener job worker queue lock log logger mock client server request response
    parser renderer formatter helper enum dataclass protocol property coroutine thread pool timeout retry
    index constraint trigger transaction relation
    """
)
FRAMEWORKS = word_list(
    """
    Django Celery Flask FastAPI DRF pytest SQLAlchemy Pydantic REST API HTTP JSON SQL Redis Kafka Jinja
    GraphQL gRPC asyncio aiohttp WebSocket OAuth Stripe Docker Wagtail Starlette Tornado CLI admin database
    unit integration
    """
)
LIBRARY_NAMES = word_list(
    """
    select_related prefetch_related get_object_or_404 transaction.atomic shared_task login_required
    ValidationError IntegrityError ObjectDoesNotExist redirect reverse render lru_cache dataclass requests.get
    logging.getLogger os.environ datetime.now timezone.now json.loads json.dumps asyncio.gather subprocess
    print random.choice bulk_create get_or_create on_delete max_length ForeignKey ManyToManyField
    objects.filter request.user PermissionDenied Http404 APIView ModelViewSet TestCase BaseCommand send_mail
    cache.get cache.set Decimal uuid4 @property @staticmethod @receiver post_save pre_save paginate_by
    queryset.filter
    """
)
PRODUCTS = word_list(
    """
    JavaScript TypeScript GitHub GitLab OpenAPI MySQL MariaDB NumPy PyTorch TensorFlow CircleCI CloudFront
    DynamoDB CouchDB JUnit VueJS NodeJS WebAssembly LaTeX PyPI PyPy OpenSSL OpenID DevOps NoSQL jQuery FastCGI
    SwiftUI PowerShell WordPress ClickHouse InfluxDB CockroachDB BigQuery LangChain NumPy OpenTelemetry
    ActiveMQ ZeroMQ HAProxy XGBoost PySpark RxJS Terraform Ansible Prometheus Grafana Jenkins Traefik Caddy
    Gunicorn uvicorn Nginx Webpack Vite Svelte React Angular Rust Go Java Kotlin Haskell Erlang Elixir Scala
    Bash Vim Emacs Linux Podman Helm Vault Consul Sentry Datadog
    """
)
LIBRARY = word_list(
    """
    ForeignKey OneToOneField ManyToManyField APIView ViewSet ModelViewSet GenericAPIView TestCase
    TransactionTestCase CharField TextField __str__ __repr__ __new__ __init__ staticmethod classmethod
    get_object_or_404 get_or_create update_or_create values values_list JsonResponse HttpResponse ListView
    DetailView FormView filter exclude annotate aggregate save create delete bulk_create bulk_update
    asyncio.gather asyncio.wait threading multiprocessing os.path pathlib Enum IntEnum Protocol ABC deque
    defaultdict Counter OrderedDict namedtuple TypedDict sort sorted append extend reverse reversed map reduce
    lambda yield return pre_save post_save auto_now auto_now_add on_delete related_name unique_together setUp
    setUpTestData setUpClass fixture parametrize F Q Exists Subquery iterator exists count len any all zip
    enumerate range xrange raise_exception is_valid lru_cache
    """
)
