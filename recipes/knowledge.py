# ruff: noqa: E501  (tables of templates read better with one entry a line)
"""Short, hand-written general knowledge about software: definitions, comparisons, advice, small talk.

Tables of 'term | text' lines. What the model has not seen it must not make up, so for other terms the conversations
give an honest, generic answer; this module is only the texts. The subjects of the standard questions are left out on
purpose.
"""

from __future__ import annotations

_DEFINITIONS = """
recursion | Recursion is when a function calls itself on a smaller part of the problem until a base case ends it.
polymorphism | Polymorphism lets one interface stand for many types, each of which brings its own behaviour.
inheritance | Inheritance lets a class take over the attributes and methods of another and change some of them.
encapsulation | Encapsulation keeps the state of an object behind its methods, so that others cannot break its rules.
composition | Composition builds an object out of smaller objects instead of inheriting from a base class.
abstraction | Abstraction hides details that a caller need not know behind a simple interface.
a closure | A closure is a function that remembers variables of the scope in which it was made.
a decorator | A decorator is a function that takes a function and returns one that does something around it.
a generator | A generator is a function that yields values one at a time and keeps its state between them.
an iterator | An iterator is an object that gives its next value on request until there are none left.
a coroutine | A coroutine is a function that can pause while it waits and go on later where it stopped.
an event loop | An event loop runs many tasks in one thread, switching whenever one of them waits.
a context manager | A context manager sets something up on entry to a with block and cleans it up on exit.
a metaclass | A metaclass is the class of a class: it decides how classes are made.
a mixin | A mixin is a small class that adds one ability to others and is not used on its own.
duck typing | Duck typing judges an object by what it can do, not by its declared type.
type hinting | Type hints say which types are expected, for tools and readers; Python does not enforce them.
static typing | Static typing checks types before the program runs.
garbage collection | Garbage collection frees memory that the program can no longer reach.
reference counting | Reference counting frees an object when the last reference to it goes away.
memoization | Memoization keeps the results of a function, so that the same call is not computed twice.
lazy evaluation | Lazy evaluation computes a value only when it is first needed.
currying | Currying turns a function of several arguments into a chain of functions of one argument.
a pure function | A pure function depends on its arguments alone and changes nothing outside itself.
immutability | Immutability means that a value cannot change once it has been made.
a lambda | A lambda is a small function without a name, written as an expression.
a list comprehension | A list comprehension builds a list from a loop and a condition in one expression.
monkey patching | Monkey patching replaces attributes of a class or module while the program runs.
the GIL | The GIL is a lock in CPython that lets only one thread run Python code at a time.
a virtual environment | A virtual environment is a folder with its own Python packages, apart from those of the system.
a dataclass | A dataclass is a class whose initialiser, comparison and text form are made from its fields.
a namedtuple | A namedtuple is a tuple whose items can also be read by name.
a singleton | A singleton is a class of which only one instance exists.
the factory pattern | The factory pattern moves the making of objects into one place that decides their class.
the observer pattern | In the observer pattern an object tells its subscribers whenever it changes.
the strategy pattern | The strategy pattern puts interchangeable algorithms behind one interface.
the adapter pattern | An adapter gives an object the interface that its caller expects.
the repository pattern | The repository pattern hides how data is stored behind methods that find and save objects.
the command pattern | The command pattern wraps an action in an object, so that it can be queued, logged or undone.
the facade pattern | A facade offers one simple interface to a set of complicated parts.
inversion of control | With inversion of control a framework calls your code, instead of your code calling a library.
MVC | MVC splits an application into models that hold data, views that show it, and controllers that connect them.
separation of concerns | Separation of concerns gives each part of a program one job, so that it can change alone.
SOLID | SOLID names five rules of object design, from single responsibility to depending on abstractions.
DRY | DRY means that each piece of knowledge should have one place in the code.
YAGNI | YAGNI says: do not build something before it is needed.
technical debt | Technical debt is the later cost of a quick solution chosen today.
refactoring | Refactoring changes the structure of code without changing what it does.
a code smell | A code smell is a sign in the code that something deeper may be wrong.
unit testing | Unit testing checks small parts of a program on their own.
integration testing | Integration testing checks that several parts work together.
regression testing | Regression testing checks that what used to work still works.
test-driven development | In test-driven development you write a failing test first, then the code that makes it pass.
mocking | Mocking replaces a real dependency by a stand-in that a test controls.
a fixture | A fixture is the known state or data that a test starts from.
code coverage | Code coverage tells which lines of the code the tests have run.
property-based testing | Property-based testing checks a rule on many generated inputs instead of a few chosen ones.
continuous integration | Continuous integration builds and tests every change as soon as it is pushed.
continuous deployment | Continuous deployment releases every change that passes the tests, without a manual step.
a feature flag | A feature flag switches a feature on or off without a new release.
semantic versioning | Semantic versioning numbers releases as major, minor and patch, by how much they may break.
version control | Version control records every change of the files, so that people can share and undo them.
a merge conflict | A merge conflict arises when two branches change the same lines in different ways.
a pull request | A pull request asks others to review a branch before it is merged.
REST | REST is a style of web API: resources have URLs, and HTTP methods act on them.
GraphQL | GraphQL is a query language for APIs in which the client names exactly the fields it wants.
gRPC | gRPC is a framework for remote calls over HTTP/2 with typed, binary messages.
a webhook | A webhook is an HTTP request that a service sends you when something happens.
a WebSocket | A WebSocket is a connection on which server and client can both send messages at any time.
HTTP | HTTP is the protocol by which browsers and servers exchange requests and responses.
TLS | TLS encrypts a connection and proves who the server is.
CORS | CORS is how a server tells browsers which other sites may call it.
CSRF | CSRF is an attack in which a foreign site makes a logged-in browser send a request; tokens prevent it.
cross-site scripting | Cross-site scripting puts an attacker's script into a page; escaping output prevents it.
SQL injection | SQL injection smuggles commands into a query through user input; parameters prevent it.
authentication | Authentication finds out who somebody is.
authorization | Authorization decides what somebody may do.
OAuth | OAuth lets an application act for a user at another service without knowing the password.
a JWT | A JWT is a signed token that carries claims, so that a server can check it without a lookup.
a cookie | A cookie is a small value that a site stores in the browser and gets back with each request.
a session | A session keeps what the server knows about a visitor between requests.
hashing | Hashing turns data of any size into a short fixed value that cannot be turned back.
salting | Salting adds random data to a password before hashing, so that equal passwords differ.
encryption | Encryption makes data unreadable without a key.
rate limiting | Rate limiting caps how many requests a client may make in a period.
idempotency | An idempotent operation has the same effect when it is done twice as when it is done once.
pagination | Pagination returns a long list in pages instead of all at once.
serialization | Serialization turns objects into a form that can be stored or sent, such as JSON.
JSON | JSON is a text format for data made of objects, lists, strings, numbers and booleans.
YAML | YAML is a text format for configuration that shows structure by indentation.
caching | Caching keeps a result close at hand, so that it need not be computed or fetched again.
a CDN | A CDN serves files from servers near the visitor.
a load balancer | A load balancer spreads requests over several servers.
a reverse proxy | A reverse proxy stands before servers and passes requests on to them.
a message queue | A message queue holds messages until a consumer is ready for them.
Celery | Celery is a Python library that runs tasks in worker processes, outside the web request.
Redis | Redis is a store that keeps data in memory, often used as a cache or a queue.
RabbitMQ | RabbitMQ is a message broker that routes messages to queues.
Kafka | Kafka is a distributed log: producers append events and consumers read them in order.
PostgreSQL | PostgreSQL is an open-source relational database with strong standards support.
SQLite | SQLite is a relational database in a single file, without a server.
MongoDB | MongoDB is a database that stores documents instead of rows.
Elasticsearch | Elasticsearch is a search engine over JSON documents.
Django | Django is a Python web framework with models, views, templates and an admin site included.
Flask | Flask is a small Python web framework that leaves most choices to you.
FastAPI | FastAPI is a Python web framework for APIs that validates data by type hints.
pytest | pytest is a test framework for Python with plain asserts and fixtures.
Docker | Docker packs an application with what it needs into an image that runs anywhere as a container.
Kubernetes | Kubernetes runs containers on many machines and keeps the wanted number of them alive.
nginx | nginx is a web server that is often used as a reverse proxy.
WSGI | WSGI is the interface between Python web servers and synchronous applications.
ASGI | ASGI is the interface between Python web servers and asynchronous applications.
middleware | Middleware is code that wraps every request and response of an application.
a template engine | A template engine fills data into a text with placeholders, often to make HTML.
a migration | A migration is a recorded change of the database schema.
an index | A database index is a sorted structure that finds rows without reading the whole table.
a foreign key | A foreign key is a column that refers to a row of another table.
a primary key | A primary key identifies each row of a table.
normalization | Normalization splits tables so that each fact is stored once.
denormalization | Denormalization stores a fact more than once, to make reading faster.
a transaction | A transaction is a group of changes of which either all happen or none.
ACID | ACID names what transactions promise: atomicity, consistency, isolation, durability.
a deadlock | A deadlock is when two parties each wait for a lock that the other holds.
a race condition | A race condition is a bug whose outcome depends on the timing of two parts.
a mutex | A mutex is a lock that only one thread can hold at a time.
a semaphore | A semaphore lets at most a set number of threads into a section.
a thread | A thread is a line of execution that shares memory with the others of its process.
a process | A process is a running program with its own memory.
concurrency | Concurrency is dealing with several tasks in overlapping periods.
sharding | Sharding splits data over several databases by a key.
replication | Replication keeps copies of the data on several machines.
the CAP theorem | The CAP theorem says that under a network partition a system must give up consistency or availability.
eventual consistency | Eventual consistency means that copies agree after a while, not at once.
a microservice | A microservice is a small service with one job that is deployed on its own.
a monolith | A monolith is an application that is built and deployed as one piece.
serverless | Serverless runs your functions on demand, on machines that the provider manages.
domain-driven design | Domain-driven design models software after the language and rules of its business.
a binary search | A binary search halves a sorted range at each step, so it needs log n steps.
a hash table | A hash table finds values by a hash of their key, in constant time on average.
a linked list | A linked list is a chain of nodes, each of which points to the next.
a stack | A stack gives back the item that was put in last.
a queue | A queue gives back the item that was put in first.
a binary tree | A binary tree is made of nodes with at most two children each.
a graph | A graph is a set of nodes and the edges between them.
big O notation | Big O notation tells how the cost of an algorithm grows with the size of its input.
dynamic programming | Dynamic programming solves overlapping subproblems once and reuses the results.
a greedy algorithm | A greedy algorithm takes the best-looking step each time and never goes back.
a regular expression | A regular expression is a pattern that describes a set of strings.
Unicode | Unicode gives every character a number; encodings such as UTF-8 turn them into bytes.
logging | Logging records what a program does, with a time and a level.
observability | Observability is how well you can tell from the outside what a system does inside.
distributed tracing | Distributed tracing follows one request through all the services that it touches.
profiling | Profiling measures where a program spends its time or memory.
a memory leak | A memory leak is memory that a program keeps though it needs it no more.
a linter | A linter reads code and reports likely mistakes and breaches of style.
a compiler | A compiler translates a program into another form before it runs.
an interpreter | An interpreter runs a program directly, statement by statement.
bytecode | Bytecode is the simple instruction set that an interpreter such as CPython runs.
an API | An API is the set of calls by which one program can use another.
an SDK | An SDK is a set of libraries and tools for building on a platform.
a daemon | A daemon is a process that runs in the background.
a cron job | A cron job is a command that runs on a schedule.
an environment variable | An environment variable is a setting that a process gets from outside.
backpressure | Backpressure lets a slow consumer tell a fast producer to slow down.
the N+1 problem | The N+1 problem is one query for a list and one more for each item in it.
a queryset | A queryset is a lazy description of rows in Django; it asks the database when it is read.
a model manager | A model manager is the object through which a Django model is queried.
a model form | A model form is a Django form whose fields come from a model.
a serializer | A serializer turns objects into plain data and checks data that comes in.
a viewset | A viewset groups the actions on one resource in one class, in Django REST framework.
a Django signal | A Django signal lets parts of an application react when something happens elsewhere.
a Django model | A Django model is a class that describes a table and its rows.
a Django app | A Django app is a package with the models, views and tests of one area.
a Django form | A Django form checks what a user sent and turns it into Python values.
a template tag | A template tag is a command inside a template, such as a loop or a condition.
a context processor | A context processor adds values to the context of every Django template.
a URLconf | A URLconf maps URL patterns to views.
a management command | A management command is a script that runs through manage.py.
the Django admin | The Django admin is a ready-made site to view and edit models.
Django REST framework | Django REST framework is a library for building web APIs with Django.
a class-based view | A class-based view is a view written as a class with a method for each HTTP verb.
a Celery task | A Celery task is a function that a worker runs outside the request.
Celery beat | Celery beat starts tasks on a schedule.
a Celery worker | A Celery worker is a process that takes tasks from a broker and runs them.
a message broker | A message broker takes messages from senders and hands them to receivers.
a task queue | A task queue holds jobs until a worker has time for them.
an abstract base class | An abstract base class names methods that its subclasses must write.
an exception | An exception is an object that reports an error and unwinds the calls until it is caught.
a test double | A test double stands in for a real object in a test.
a smoke test | A smoke test checks quickly that the main things work at all.
an end-to-end test | An end-to-end test drives the whole system as a user would.
a race | A race is a bug whose outcome depends on timing.
an endpoint | An endpoint is one URL of an API with the method that it accepts.
a status code | A status code is the number by which an HTTP response tells how it went.
a payload | A payload is the data that a message carries, without its headers.
throttling | Throttling slows down or refuses clients that ask too often.
a slug | A slug is a short text for URLs, made of letters, digits and hyphens.
a UUID | A UUID is a 128-bit identifier that is unique without a central register.
CRUD | CRUD stands for create, read, update, delete: the four basic operations on data.
KISS | KISS stands for keep it simple: prefer the simplest design that works.
TDD | TDD stands for test-driven development: the failing test comes before the code.
CI | CI stands for continuous integration: every change is built and tested at once.
CD | CD stands for continuous delivery: every change that passes could be released.
DNS | DNS stands for Domain Name System: it turns names into addresses.
CSV | CSV stands for comma-separated values: a text format for tables.
CLI | CLI stands for command-line interface: a program that is used by typing commands.
CPU | CPU stands for central processing unit: the part that runs instructions.
SSH | SSH stands for Secure Shell: an encrypted way to work on another machine.
IDE | IDE stands for integrated development environment: an editor with tools for building and debugging.
eager loading | Eager loading fetches related rows together with the main ones.
optimistic locking | Optimistic locking checks at write time that nobody changed the row since it was read.
a circuit breaker | A circuit breaker stops calling a service that fails, and tries again after a while.
"""

_COMPARISONS = """
lists | tuples | Lists can change; tuples cannot, so tuples can be dictionary keys.
a process | a thread | A process has its own memory; a thread shares the memory of its process.
authentication | authorization | Authentication finds out who you are; authorization decides what you may do.
unit tests | integration tests | Unit tests check one part alone; integration tests check parts together.
REST | GraphQL | REST has a URL for each resource; with GraphQL the client names the fields it wants at one URL.
SQL | NoSQL | SQL databases have fixed tables and joins; NoSQL ones have flexible documents or keys.
Flask | Django | Flask is small and leaves choices to you; Django brings models, admin and more with it.
Flask | FastAPI | Flask is simple and synchronous by default; FastAPI is asynchronous and validates by types.
PostgreSQL | MySQL | PostgreSQL is stricter and richer in features; MySQL is simple and very widespread.
PostgreSQL | SQLite | PostgreSQL is a server for many clients; SQLite is one file for one program.
Redis | Memcached | Redis has many data types and can persist; Memcached is a plain cache.
RabbitMQ | Kafka | RabbitMQ routes messages and forgets them; Kafka keeps an ordered log that can be read again.
threads | coroutines | Threads are switched by the system; coroutines switch only where they wait.
concurrency | parallelism | Concurrency is dealing with many things at once; parallelism is doing them at once.
a stack | a queue | A stack gives back the newest item; a queue the oldest.
an interface | an abstract class | An interface only says what there is; an abstract class can bring code as well.
composition | inheritance | Composition holds other objects; inheritance becomes a kind of another class.
shallow copy | deep copy | A shallow copy shares the inner objects; a deep copy copies them too.
git merge | git rebase | Merge joins two histories; rebase rewrites one on top of the other.
git fetch | git pull | Fetch only downloads; pull also merges what it got.
PUT | PATCH | PUT replaces the whole resource; PATCH changes part of it.
GET | POST | GET reads and should change nothing; POST sends data that may change something.
TCP | UDP | TCP delivers in order and resends; UDP is faster and promises nothing.
HTTP | HTTPS | HTTPS is HTTP over TLS, so it is encrypted.
cookies | local storage | Cookies go to the server with each request; local storage stays in the browser.
sessions | JWTs | Sessions are kept on the server; JWTs carry their claims with them.
JSON | XML | JSON is shorter and maps to objects; XML has attributes, schemas and mixed text.
JSON | YAML | JSON is strict and simple; YAML is easier to read and easier to get wrong.
Docker | a virtual machine | Docker shares the kernel of the host; a virtual machine has its own.
a container | an image | An image is the packed file; a container is one that runs.
a monolith | microservices | A monolith is deployed as one; microservices are deployed one by one and talk over a network.
horizontal scaling | vertical scaling | Horizontal scaling adds machines; vertical scaling makes one larger.
compile time | run time | Compile time is before the program starts; run time is while it runs.
static typing | dynamic typing | Static typing checks types before running; dynamic typing while running.
mocks | stubs | Stubs give prepared answers; mocks also check how they were called.
a library | a framework | You call a library; a framework calls you.
pytest | unittest | pytest has plain asserts and fixtures; unittest comes with Python and uses classes.
black box testing | white box testing | Black box testing sees only behaviour; white box testing knows the code.
synchronous | asynchronous | Synchronous code waits for each step; asynchronous code does others meanwhile.
WSGI | ASGI | WSGI is synchronous; ASGI also carries asynchronous code and WebSockets.
WebSockets | polling | WebSockets push at once; polling asks again and again.
a class method | a static method | A class method gets the class; a static method gets neither class nor instance.
is | == | 'is' compares identity; '==' compares value.
args | kwargs | args holds positional arguments; kwargs holds named ones.
a module | a package | A module is one file; a package is a folder of modules.
a list | a set | A list keeps order and duplicates; a set holds each item once and finds it fast.
a generator | a list | A generator makes items one at a time; a list holds them all in memory.
an index | a primary key | A primary key identifies a row; an index only makes finding rows faster.
a left join | an inner join | A left join keeps all rows of the left table; an inner join only those that match.
optimistic locking | pessimistic locking | Optimistic locking checks at the end; pessimistic locking locks at the start.
encryption | hashing | Encryption can be undone with the key; hashing cannot be undone.
symmetric encryption | asymmetric encryption | Symmetric encryption uses one key; asymmetric a public and a private one.
function-based views | class-based views | Function-based views are explicit; class-based views share behaviour by inheritance.
select_related | prefetch_related | select_related joins in one query; prefetch_related makes a second query.
null | blank | null is about the database column; blank is about form validation.
a foreign key | a many-to-many field | A foreign key points to one row; a many-to-many field to any number.
signals | overriding save | Signals are decoupled but hidden; overriding save is explicit.
pip | poetry | pip installs packages; poetry also resolves, locks and publishes them.
an error | a warning | An error stops the work; a warning only tells.
latency | throughput | Latency is the time of one request; throughput is how many there are in a period.
"""

_ADVICE = """
name variables | Use names that say what the value means; short ones only in short scopes.
name a serializer | Name it after its model with the ending Serializer.
name test functions | Name each test after the behaviour that it checks.
structure a Django project | Make one app for each area, keep settings apart, and put rules into services or models.
write good commit messages | Write a short line in the imperative, then say why the change was made.
handle errors in an API | Return the right status code and a body that says what is wrong and what to do.
handle exceptions | Catch only what you can deal with, as close as possible, and let the rest rise.
store passwords | Store only a salted hash by a slow algorithm such as Argon2 or bcrypt.
store secrets | Keep secrets out of the code: use environment variables or a secret store.
speed up slow queries | Look at the query plan, add the missing index, and fetch only what you need.
avoid the N+1 problem | Fetch related rows together, with a join or a second query for all of them.
write tests for legacy code | Start with tests of what it does today, then change it in small steps.
test asynchronous code | Use a test plugin that runs an event loop, and wait on conditions instead of sleeping.
mock external services | Put them behind a small interface and replace that in the tests.
design a REST API | Use nouns for URLs, HTTP methods for actions, and status codes for results.
version an API | Put the version in the URL or a header, and keep old versions for a time.
paginate results | Use a cursor for long lists that change, and page numbers for short ones.
cache responses | Cache what is read often and changes seldom, and decide first how it becomes invalid.
use caching | Measure first, cache what is slow and stable, and set an expiry.
log properly | Log events with context at the right level, and never log secrets.
debug a memory leak | Compare snapshots of memory over time and see which objects grow.
learn Python | Read the tutorial, build something small, and read good code of others.
review code | Look for correctness first, then clarity; ask questions and be kind.
split a large class | Find groups of methods that use the same fields, and move each into a class of its own.
split a large function | Extract steps with names of their own until it reads as a plan.
manage dependencies | Pin versions in a lock file and update them regularly.
deploy a web application | Automate it: build once, test, release the same image, and be able to roll back.
use type hints | Add them to public functions first, and let a checker run in CI.
write documentation | Say what it is for, show an example, and keep it next to the code.
choose a database | Take a relational one unless you know a reason against it.
choose a web framework | Take Django for full sites, FastAPI for APIs, Flask for small ones.
secure a web application | Validate input, escape output, use HTTPS, and keep packages up to date.
prevent SQL injection | Always pass values as parameters, never by joining strings.
validate user input | Check type, length and range at the border, and reject what does not fit.
organize imports | Group them: standard library, third party, own; let a tool sort them.
use signals | Use them sparingly; a direct call is easier to follow.
run background jobs | Give them to a queue with workers, and make each job safe to run twice.
retry failed requests | Retry only what is safe, with growing pauses and a limit.
estimate a task | Split it into parts, estimate each, and say how sure you are.
handle time zones | Store times in UTC and convert them only for display.
"""


def _table(text: str) -> list[tuple[str, ...]]:
    return [tuple(cell.strip() for cell in line.split(" | ")) for line in text.strip().splitlines()]


DEFINITIONS = [(row[0], row[1]) for row in _table(_DEFINITIONS)]
COMPARISONS = [(row[0], row[1], row[2]) for row in _table(_COMPARISONS)]
ADVICE = [(row[0], row[1]) for row in _table(_ADVICE)]
