"""/v1/me: whom a key speaks for."""

from __future__ import annotations

from fastapi import APIRouter

from services.api.auth import Caller
from services.api.schemas import Me

router = APIRouter(prefix="/v1/me", tags=["me"])


@router.get("")
async def read_me(caller: Caller) -> Me:
    """The tenant and the name of the key that the request was made with."""
    return Me(tenant=caller.tenant, key=caller.key, name=caller.name)
