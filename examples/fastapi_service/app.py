"""An orders service that asks a stock service: one client for the life of the process, one policy, every decision told.

    STOCK_URL=http://127.0.0.1:8000 uvicorn examples.fastapi_service.app:app --port 8080

The policy comes from `SPANWIRE_*` variables. Telemetry goes wherever the service's OpenTelemetry SDK sends it.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request

import spanwire


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The client lives as long as the service, and closes its connections at the end."""
    async with spanwire.AsyncClient(
        name="stock", base_url=os.environ["STOCK_URL"], policy=spanwire.Policy.from_env()
    ) as stock:
        app.state.stock = stock
        yield


app = FastAPI(lifespan=lifespan)


def stock_client(request: Request) -> spanwire.AsyncClient:
    """The dependency; tests and other routes get the client the same way."""
    client: spanwire.AsyncClient = request.app.state.stock
    return client


Stock = Annotated[spanwire.AsyncClient, Depends(stock_client)]


@app.get("/orders/{sku}")
async def order(sku: str, stock: Stock) -> dict[str, Any]:
    """Whether an article can be ordered."""
    try:
        # The route names spans and metrics: without it, each article would be a name of its own, so none is used.
        answer = await stock.get(f"/stock/{sku}", extensions=spanwire.override(route="/stock/{sku}"))
        answer.raise_for_status()
    except spanwire.Rejected as refused:  # the breaker is open: nothing was sent, and it says when to come again
        later = {"Retry-After": str(math.ceil(refused.retry_after or 1))}
        raise HTTPException(503, "the stock service is not asked at the moment", later) from refused
    except httpx.HTTPError as error:  # it was asked, and failed, after all retries
        raise HTTPException(502, "the stock service does not answer") from error
    return {"sku": sku, "in_stock": answer.json()["count"] > 0, "attempts": len(spanwire.report(answer).attempts)}


@app.get("/health")
async def health(stock: Stock) -> dict[str, Any]:
    """How the service's view of its neighbour is, without asking it."""
    return {
        "breakers": {name: breaker.state for name, breaker in stock.circuit_breakers.items()},
        "requests": stock.metrics()["requests"],
    }
