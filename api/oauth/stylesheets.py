"""The stylesheets of pages: one of ours, and one of two colours for each organization that chose some."""

from fastapi import APIRouter, Response

from api.callers import Anybody
from api.errors import NotFound
from api.oauth.page_routes import PageRoute
from api.oauth.rendering import HEADERS, KEPT_FOR_GOOD, STYLES, STYLES_NAME
from api.oauth.theming import theme_of

router = APIRouter(tags=["pages"], include_in_schema=False, route_class=PageRoute)


@router.get("/oauth/assets/{name}")
async def read_styles(name: str, _: Anybody) -> Response:
    """Return the stylesheet of all pages, under a name that changes with it."""
    if name != STYLES_NAME:
        raise NotFound("there is no such file")
    return Response(STYLES, headers={**HEADERS, "Cache-Control": KEPT_FOR_GOOD}, media_type="text/css")


@router.get("/oauth/themes/{name}.css")
async def read_theme(name: str, _: Anybody) -> Response:
    """Return the stylesheet of two colours; they are in its name, so it never changes."""
    theme = theme_of(name)
    if theme is None:
        raise NotFound("there is no such file")
    return Response(theme, headers={**HEADERS, "Cache-Control": KEPT_FOR_GOOD}, media_type="text/css")
