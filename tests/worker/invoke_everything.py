"""A program that acts as the Functions host for Microsoft's worker code, and prints the answers as JSON lines.

Run it in the app's folder with the app's settings in the environment. It indexes the app and then invokes every
function. It runs ticks until the ingestion that it has posted is completed.
"""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime


class Message:
    """Replaces any protocol buffer message. A field that was not given is None."""

    undefined, out, inout = 0, 1, 2

    def __init__(self, **fields: object) -> None:
        vars(self).update(fields)

    def __getattr__(self, name: str) -> Any:
        if name[0].isupper():
            raise AttributeError(name)  # the name of a message type, not of a field
        return None

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 # the name that protocol buffers give it
        return next((name for name, value in vars(self).items() if value is not None and name != "name"), None)


class Protos:
    """Replaces the module of message types: every type is a `Message`."""

    StatusResult = type("StatusResult", (Message,), {"Success": "success", "Failure": "failure"})

    def __getattr__(self, name: str) -> type[Message]:
        return Message


def envelope(**fields: object) -> SimpleNamespace:
    """Return a request in the form in which the worker's dispatcher passes it on."""
    return SimpleNamespace(request=SimpleNamespace(**fields), properties={"host": "127.0.0.1", "protos": Protos()})


def http(method: str, path: str, body: bytes = b"", **params: str) -> tuple[Message, dict[str, Message]]:
    """Return an HTTP request as the host sends it: the value of the trigger, and the trigger's metadata."""
    request = Message(
        method=method, url=f"http://localhost:7071{path}", headers={}, params=params, query={}, body=Message(bytes=body)
    )
    return Message(http=request), {}


def timer() -> tuple[Message, dict[str, Message]]:
    """Return a tick as the host sends it."""
    return Message(json='{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}'), {}


class Worker:
    """Microsoft's worker code with the app indexed."""

    def __init__(self, metadata: list[Message]) -> None:
        self._functions = {function.name: function for function in metadata}
        print(json.dumps({"indexed": sorted(self._functions)}))

    async def invoke(self, name: str, value: tuple[Message, dict[str, Message]]) -> str:
        """Invoke a function; return its body, if it is an HTTP function."""
        function = self._functions[name]
        argument = next(binding for binding in function.bindings if binding != "$return")
        answer = await runtime.invocation_request(
            envelope(
                invocation_request=Message(
                    invocation_id=name,
                    function_id=function.function_id,
                    input_data=[Message(name=argument, data=value[0])],
                    trigger_metadata=value[1],
                    trace_context=Message(trace_parent="", trace_state="", attributes={}),
                    retry_context=Message(retry_count=0, max_retry_count=0, exception=Message()),
                )
            )
        )
        failure = answer.result.exception and answer.result.exception.message
        response = answer.return_value and answer.return_value.http
        body = response and response.body.bytes
        body = body.decode() if isinstance(body, bytes) else body
        status = response and str(response.status_code)
        print(json.dumps({"function": name, "failure": failure, "status": status, "body": body}))
        return body


async def main() -> None:
    """Index the app, then invoke every function."""
    init = Message(capabilities={}, function_app_directory=str(Path.cwd()))
    started = await runtime.worker_init_request(envelope(worker_init_request=init))
    if started.result.status != "success":
        sys.exit(started.result.exception.message)
    runtime.start_threadpool_executor()
    metadata = await runtime.functions_metadata_request(envelope())
    worker = Worker(metadata.function_metadata_results)
    request = json.dumps({"ids": [1, 2, 3, 4], "priority": "HIGH"}).encode()
    accepted = await worker.invoke("ingest", http("POST", "/ingest", request))
    ingestion_id = json.loads(accepted)["ingestion_id"]
    await worker.invoke("upkeep", timer())
    for _ in range(20):
        await worker.invoke("dispatch", timer())
        status = await worker.invoke("status", http("GET", f"/status/{ingestion_id}", ingestion_id=ingestion_id))
        if json.loads(status)["status"] == "completed":
            break
    await worker.invoke("batches", http("GET", f"/status/{ingestion_id}/batches", ingestion_id=ingestion_id))
    await worker.invoke("results", http("GET", f"/results/{ingestion_id}", ingestion_id=ingestion_id))
    await worker.invoke("retry", http("POST", f"/ingestions/{ingestion_id}/retry", ingestion_id=ingestion_id))
    await worker.invoke("cancel", http("POST", f"/ingestions/{ingestion_id}/cancel", ingestion_id=ingestion_id))
    await worker.invoke("ingestion", http("GET", f"/ingestions/{ingestion_id}", ingestion_id=ingestion_id))
    await worker.invoke("ingestions", http("GET", "/ingestions"))
    await worker.invoke("lanes", http("GET", "/lanes"))
    await worker.invoke("pause", http("PUT", "/lanes/LOW/pause", switch="LOW"))
    await worker.invoke("health", http("GET", "/health"))
    await worker.invoke("home", http("GET", "/"))
    await worker.invoke("pages", http("GET", "/pages/style.css", file="style.css"))
    await worker.invoke("metrics", http("GET", "/metrics"))
    await worker.invoke("openapi", http("GET", "/openapi.json"))
    await worker.invoke("docs", http("GET", "/docs"))
    await worker.invoke("problem_type", http("GET", "/problems/unknown-page", slug="unknown-page"))
    runtime.stop_threadpool_executor()


asyncio.run(main())
