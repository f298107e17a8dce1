"""The triggers: decode, call, encode. Nothing else."""

import logging
import os

import azure.functions as func

from ingest_core import api
from ingest_core.app import App
from ingest_core.board import page

logging.getLogger("azure").setLevel(logging.ERROR)  # its warnings repeat, with a trace, what our one line says

core = App(os.environ)
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


async def answer(handler: api.Handler, req: func.HttpRequest) -> func.HttpResponse:
    """Pass a request to its handler, and the handler's answer to the host."""
    request = api.Request(
        method=req.method,
        headers={name.lower(): value for name, value in req.headers.items()},
        query=dict(req.params),
        path=dict(req.route_params),
        body=req.get_body(),
    )
    given = await core.handle(handler, request)
    return func.HttpResponse(
        given.body, status_code=given.status, mimetype=given.content_type, headers=dict(given.headers)
    )


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
    """Give what was fetched, in pages."""
    return await answer(api.results, req)


@app.route("ingestions/{ingestion_id}/retry")
async def retry(req: func.HttpRequest) -> func.HttpResponse:
    """Accept the IDs of failed batches again."""
    return await answer(api.retry, req)


@app.route("health", auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say whether the service does its job."""
    return await answer(api.health, req)


@app.route("board")
async def board(req: func.HttpRequest) -> func.HttpResponse:
    """Show the lanes and the gate."""
    return await answer(api.board, req)


@app.route("/", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
def home(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 # the host passes it by name
    """The page that shows the board; it holds no data."""
    return func.HttpResponse(page(), mimetype="text/html")


@app.timer_trigger(schedule=core.schedule, arg_name="timer", use_monitor=False)
async def dispatch(timer: func.TimerRequest) -> None:  # noqa: ARG001 # the host passes it by name
    """Start the next batch when its slot is due."""
    await core.tick()


@app.timer_trigger(schedule="0 */10 * * * *", arg_name="timer", run_on_startup=True, use_monitor=False)
async def recover(timer: func.TimerRequest) -> None:  # noqa: ARG001 # as above
    """Put back messages that storage or a crash has lost."""
    await core.recover()
