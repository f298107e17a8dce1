"""The triggers of the plain design. It parses requests as the service does, so that only the storage differs."""

import asyncio
import json
import os

import azure.functions as func

from bench.plain_app.plain import PlainDesign, Unknown
from ingest_core.api.bodies import parse_request
from ingest_core.api.problems import Problem
from ingest_core.storage.connection_string import DEVELOPMENT_STORAGE

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
setting = os.environ["AzureWebJobsStorage"]  # noqa: SIM112 # the host's own spelling
design = PlainDesign(DEVELOPMENT_STORAGE if setting == "UseDevelopmentStorage=true" else setting)
creating = asyncio.Lock()
created = asyncio.Event()


async def ready() -> PlainDesign:
    """Return the design, and create its table and queues at the first call."""
    async with creating:
        if not created.is_set():
            await design.create()
            created.set()
    return design


@app.route("ingest", methods=["POST"])
async def ingest(req: func.HttpRequest) -> func.HttpResponse:
    """Accept a list of IDs."""
    try:
        request = parse_request(req.get_body(), max_ids=100_000)
    except Problem as problem:
        return func.HttpResponse(problem.detail, status_code=problem.kind.status)
    ingestion_id = await (await ready()).accept(list(request.ids), request.priority.value)
    return func.HttpResponse(json.dumps({"ingestion_id": ingestion_id}), status_code=202, mimetype="application/json")


@app.route("status/{ingestion_id}", methods=["GET"])
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """Show an ingestion and its batches."""
    try:
        shown = await (await ready()).status(req.route_params["ingestion_id"])
    except Unknown:
        return func.HttpResponse(status_code=404)
    return func.HttpResponse(json.dumps(shown), mimetype="application/json")


@app.route("health", methods=["GET"])
async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 # the host passes it by name
    """Answer that the app runs."""
    return func.HttpResponse("ok")


@app.timer_trigger(schedule="*/5 * * * * *", arg_name="timer", use_monitor=False)
async def dispatch(timer: func.TimerRequest) -> None:  # noqa: ARG001 # as above
    """Process one batch."""
    await (await ready()).dispatch()
