"""The triggers: decode, call, encode. Nothing else."""

import logging
import os

import azure.functions as func

from ingest_core.api import handlers as api
from ingest_core.api.pages import BOARD, DOCS, answer_page, answer_problem_type
from ingest_core.app import App

logging.getLogger("azure").setLevel(logging.ERROR)  # its warnings repeat our own lines, with a trace

service = App(os.environ)
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


def decoded(req: func.HttpRequest) -> api.Request:
    """The host's request, as handlers see it."""
    return api.Request(
        method=req.method,
        headers={name.lower(): value for name, value in req.headers.items()},
        url=req.url,
        path=dict(req.route_params),
        body=req.get_body(),
    )


def encoded(result: api.Answer) -> func.HttpResponse:
    """A handler's answer, as the host expects it."""
    return func.HttpResponse(
        result.body, status_code=result.status, mimetype=result.content_type, headers=dict(result.headers)
    )


async def answer(handler: api.Handler, req: func.HttpRequest) -> func.HttpResponse:
    """Pass a request to its handler, and the handler's answer to the host."""
    return encoded(await service.handle(handler, decoded(req)))


@app.route("ingest")
async def ingest(req: func.HttpRequest) -> func.HttpResponse:
    """Accept a list of IDs."""
    return await answer(api.ingest, req)


@app.route("status/{ingestion_id}")
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """Show an ingestion and its batches."""
    return await answer(api.status, req)


@app.route("status/{ingestion_id}/batches")
async def batches(req: func.HttpRequest) -> func.HttpResponse:
    """Show how each batch went, in pages."""
    return await answer(api.batches, req)


@app.route("results/{ingestion_id}")
async def results(req: func.HttpRequest) -> func.HttpResponse:
    """Return what was fetched, in pages."""
    return await answer(api.results, req)


@app.route("ingestions")
async def ingestions(req: func.HttpRequest) -> func.HttpResponse:
    """List ingestions, newest first."""
    return await answer(api.ingestions, req)


@app.route("ingestions/{ingestion_id}")
async def ingestion(req: func.HttpRequest) -> func.HttpResponse:
    """Show an ingestion without its batches, or change its priority."""
    return await answer(api.ingestion, req)


@app.route("ingestions/{ingestion_id}/cancel")
async def cancel(req: func.HttpRequest) -> func.HttpResponse:
    """Start no further batch of an ingestion."""
    return await answer(api.cancel, req)


@app.route("ingestions/{ingestion_id}/retry")
async def retry(req: func.HttpRequest) -> func.HttpResponse:
    """Accept again the IDs that have neither data nor a final error."""
    return await answer(api.retry, req)


@app.route("lanes")
async def lanes(req: func.HttpRequest) -> func.HttpResponse:
    """Show what waits, what runs, and what delays it."""
    return await answer(api.lanes, req)


@app.route("lanes/{switch}/pause")
async def pause(req: func.HttpRequest) -> func.HttpResponse:
    """Pause a lane, or all of them; or resume it."""
    return await answer(api.pause, req)


@app.route("metrics")
async def metrics(req: func.HttpRequest) -> func.HttpResponse:
    """Show the service's state in figures, for Prometheus."""
    return await answer(api.metrics, req)


@app.route("health", auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say whether the service does its job."""
    return await answer(api.health, req)


@app.route("/", auth_level=func.AuthLevel.ANONYMOUS)
def home(req: func.HttpRequest) -> func.HttpResponse:
    """The board; it holds no data, so it needs no key."""
    return encoded(answer_page(BOARD, decoded(req)))


@app.route("pages/{file}", auth_level=func.AuthLevel.ANONYMOUS)
def pages(req: func.HttpRequest) -> func.HttpResponse:
    """A style or a script of the board."""
    return encoded(answer_page(req.route_params["file"], decoded(req)))


@app.route("openapi.json", auth_level=func.AuthLevel.ANONYMOUS)
def openapi(req: func.HttpRequest) -> func.HttpResponse:
    """The API as a document."""
    from ingest_core.api.openapi.document import answer_openapi  # noqa: PLC0415 # a cold start need not wait for it

    return encoded(answer_openapi(decoded(req)))


@app.route("docs", auth_level=func.AuthLevel.ANONYMOUS)
def docs(req: func.HttpRequest) -> func.HttpResponse:
    """The API as a page for people."""
    return encoded(answer_page(DOCS, decoded(req)))


@app.route("problems/{slug}", auth_level=func.AuthLevel.ANONYMOUS)
def problem_type(req: func.HttpRequest) -> func.HttpResponse:
    """Lead to the explanation of a problem."""
    return encoded(answer_problem_type(req.route_params["slug"], decoded(req)))


@app.timer_trigger(schedule=service.schedule, arg_name="timer", use_monitor=False)
async def dispatch(timer: func.TimerRequest) -> None:  # noqa: ARG001 # the host passes it by name
    """Start the next batch when its slot is due."""
    await service.tick()


@app.timer_trigger(schedule="0 */10 * * * *", arg_name="timer", run_on_startup=True, use_monitor=False)
async def upkeep(timer: func.TimerRequest) -> None:  # noqa: ARG001 # as above
    """Recover what was lost, close what has ended, delete what is old."""
    await service.keep_up()
