"""Functions that do nothing, to measure a host without the service."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
LARGE = b"x" * 3_200_000


@app.route("ingest", methods=["POST"])
async def ingest(req: func.HttpRequest) -> func.HttpResponse:
    """Read the body and ignore it."""
    return func.HttpResponse(str(len(req.get_body())), status_code=202)


@app.route("status/{ingestion_id}", methods=["GET"])
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with a few bytes."""
    return func.HttpResponse(req.route_params["ingestion_id"])


@app.route("large", methods=["GET"])
async def large(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 # the host passes it by name
    """Answer with as many bytes as the status of a list of 99 999 IDs."""
    return func.HttpResponse(LARGE)


@app.route("health", methods=["GET"])
async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 # as above
    """Answer that the app runs."""
    return func.HttpResponse("ok")
