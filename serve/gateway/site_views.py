"""What the web app is told when it opens: whom it serves, and what it may offer."""

from pydantic import BaseModel

from serve.gateway.people_views import MeView
from serve.gateway.views import Timestamp


class OpenIdView(BaseModel):
    """Login at the identity provider: `url` leads there, and comes back to the path in its `return_to`."""

    url: str
    label: str


class LoginWaysView(BaseModel):
    """The ways to log in. `link`: by a link that works once (POST /v1/session/link); `key`: with an API key (POST
    /v1/session)."""

    openid: OpenIdView | None
    link: bool
    key: bool


class AllowanceView(BaseModel):
    """What may be asked for without a key, in a minute or a day. `of` is whose limit it is: everybody's without a key,
    the site's (a wide network), or the client's. At `resets_at` all of it is free again, if nobody asks for more."""

    of: str
    window: str
    limit: int
    left: int
    resets_at: Timestamp | None


class PlaygroundView(BaseModel):
    """Whether some models can be called without a key, and how often: by window the limit that has the least left.
    Nothing is said to somebody who has logged in."""

    enabled: bool
    requests: list[AllowanceView]


class SiteView(BaseModel):
    """This platform, for a page that opens. `me` is null for whoever has not logged in."""

    version: str
    currency: str
    docs_url: str
    login: LoginWaysView
    playground: PlaygroundView
    me: MeView | None
