"""Where strangers' addresses may lead, and where not. Nothing here leaves the machine."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.errors import InvalidRequest
from serve.gateway.fetch import GuardedFetcher, is_allowed

PUBLIC = "93.184.215.14"


class Names:
    """A resolver whose answers a test sets; each answer is given once, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.num_asked = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        self.num_asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Sink(httpcore.AsyncNetworkBackend):
    """The network: remembers who was called, and takes no call."""

    def __init__(self) -> None:
        self.called: list[str] = []

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        self.called.append(host)
        raise httpcore.ConnectError("the sink takes no call")


FORBIDDEN = {
    "loopback": "http://127.0.0.1/",
    "loopback, another": "http://127.1.2.3/",
    "private": "http://10.0.0.1/",
    "private 172": "http://172.31.255.255/",
    "private 192": "http://192.168.1.1/",
    "link-local metadata": "http://169.254.169.254/latest/meta-data/",
    "shared (CGNAT)": "http://100.64.0.1/",
    "this network": "http://0.0.0.0/",
    "broadcast": "http://255.255.255.255/",
    "multicast": "http://224.0.0.1/",
    "reserved": "http://240.0.0.1/",
    "benchmarking": "http://198.18.0.1/",
    "v6 loopback": "http://[::1]/",
    "v6 unspecified": "http://[::]/",
    "v6 mapped": "http://[::ffff:127.0.0.1]/",
    "v6 mapped, in hex": "http://[::ffff:7f00:1]/",
    "v6 mapped, public": "http://[::ffff:93.184.215.14]/",
    "v6 compatible": "http://[::127.0.0.1]/",
    "NAT64": "http://[64:ff9b::7f00:1]/",
    "NAT64, local": "http://[64:ff9b:1::7f00:1]/",
    "6to4": "http://[2002:7f00:1::]/",
    "Teredo": "http://[2001::1]/",
    "v6 link-local": "http://[fe80::1]/",
    "v6 unique local": "http://[fd00::1]/",
    "v6 site-local": "http://[fec0::1]/",
    "v6 multicast": "http://[ff02::1]/",
    "v6 documentation": "http://[2001:db8::1]/",
}

INVALID = {
    "decimal": "http://2130706433/",
    "octal": "http://0177.0.0.1/",
    "hex": "http://0x7f000001/",
    "hex, dotted": "http://0x7f.0.0.1/",
    "short": "http://127.1/",
    "leading zeros": "http://127.000.000.001/",
    "ends in a number": "http://example.1/",
    "trailing dot": "http://127.0.0.1./",
    "trailing dot on a name": "http://localhost./",
    "user": "http://user@example.com/",
    "user and password": "http://user:secret@example.com/",
    "a user that looks like the host": "http://example.com@127.0.0.1/",
    "an empty user": "http://@127.0.0.1/",
    "backslash": "http://example.com\\@127.0.0.1/",
    "backslash as a slash": "http:\\\\127.0.0.1/",
    "tab": "http://exam\tple.com/",
    "newline": "http://example.com/\r\nx-evil: 1",
    "space": "http://example.com /",
    "wide dots": "http://127\u30020\u30020\u30021/",
    "circled digits": "http://\u2460\u2461\u2466.0.0.1/",
    "percent in the host": "http://127.0.0.1%2f.example.com/",
    "zone": "http://[fe80::1%25eth0]/",
    "no host": "http:///etc/passwd",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_",
    "unix": "unix:///var/run/docker.sock",
    "http+unix": "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "javascript": "javascript:alert(1)",
    "no scheme": "//127.0.0.1/",
    "port out of range": "http://example.com:99999/",
    "port that is none": "http://example.com:abc/",
    "endless": "http://example.com/" + "a" * 3000,
    "nothing": "",
}


@pytest.mark.parametrize("url", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_no_way_of_writing_an_inner_address_gets_a_packet_sent(url: str) -> None:
    sink = Sink()
    fetcher = GuardedFetcher(False, Names([PUBLIC]), sink)
    with pytest.raises(InvalidRequest) as caught:
        await fetcher.check_url(url)
    assert (caught.value.code, caught.value.param) == ("forbidden_address", "webhook.url")
    with pytest.raises(InvalidRequest):
        await fetcher.post(url, {}, b"", 1)
    assert sink.called == []


@pytest.mark.parametrize("url", INVALID.values(), ids=INVALID.keys())
@pytest.mark.parametrize("allow_private", [False, True], ids=["strict", "private allowed"])
async def test_a_url_that_two_readers_may_read_differently_is_refused(url: str, allow_private: bool) -> None:
    names, sink = Names([PUBLIC]), Sink()
    fetcher = GuardedFetcher(allow_private, names, sink)
    with pytest.raises(InvalidRequest) as caught:
        await fetcher.check_url(url)
    assert caught.value.code == "invalid_url"
    with pytest.raises(InvalidRequest):
        await fetcher.post(url, {}, b"", 1)
    assert (names.num_asked, sink.called) == (0, [])


@pytest.mark.parametrize(
    "url", ["http://example.com", "https://a-b.example.com:8443/x?y=z", f"http://{PUBLIC}/", "https://[2606:4700::1]/"]
)
async def test_public_addresses_are_fine(url: str) -> None:
    await GuardedFetcher(False, Names([PUBLIC]), Sink()).check_url(url)


async def test_one_inner_address_among_many_spoils_the_name() -> None:
    sink = Sink()
    fetcher = GuardedFetcher(False, Names([PUBLIC, "10.0.0.1"]), sink)
    with pytest.raises(InvalidRequest, match="not public"):
        await fetcher.check_url("http://example.com/")
    with pytest.raises(InvalidRequest, match="not public"):
        await fetcher.post("http://example.com/", {}, b"", 1)
    assert sink.called == []


async def test_a_name_that_changes_its_mind_is_judged_where_the_socket_opens() -> None:
    sink, names = Sink(), Names([PUBLIC], ["127.0.0.1"])
    fetcher = GuardedFetcher(False, names, sink)
    await fetcher.check_url("http://rebind.example.com/")
    with pytest.raises(InvalidRequest, match="not public"):
        await fetcher.post("http://rebind.example.com/", {}, b"", 1)
    assert sink.called == []


async def test_a_name_is_asked_once_and_the_connection_goes_to_that_answer() -> None:
    sink, names = Sink(), Names([PUBLIC], ["127.0.0.1"])
    with pytest.raises(OSError, match="takes no call"):
        await GuardedFetcher(False, names, sink).post("http://rebind.example.com/", {}, b"", 1)
    assert (sink.called, names.num_asked) == ([PUBLIC], 1)


class TlsSink(Sink):
    """Takes calls, and remembers the name that TLS is started for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str | None] = []

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        self.called.append(host)
        return TlsStream(self.names)


class TlsStream(httpcore.AsyncNetworkStream):
    """Ends at the handshake."""

    def __init__(self, names: list[str | None]) -> None:
        self.names = names

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self.names.append(server_hostname)
        assert ssl_context.check_hostname
        assert ssl_context.verify_mode == ssl.CERT_REQUIRED
        raise httpcore.ConnectError("the handshake ends here")

    async def aclose(self) -> None:
        pass


async def test_tls_is_for_the_name_while_the_connection_goes_to_the_address() -> None:
    sink = TlsSink()
    with pytest.raises(OSError, match="handshake"):
        await GuardedFetcher(False, Names([PUBLIC]), sink).post("https://hook.example.com/", {}, b"", 1)
    assert (sink.called, sink.names) == ([PUBLIC], ["hook.example.com"])


async def test_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no address"):
        await GuardedFetcher(False, Names([])).check_url("http://nowhere.example.com/")


async def test_metadata_services_are_out_even_where_private_is_in() -> None:
    fetcher = GuardedFetcher(True)
    await fetcher.check_url("http://127.0.0.1:9000/")
    with pytest.raises(InvalidRequest, match="not public"):
        await fetcher.check_url("http://169.254.169.254/")


@given(st.ip_addresses())
def test_whatever_is_not_global_is_refused(address: object) -> None:
    found = ip_address(str(address))
    if not found.is_global or found.is_multicast:
        assert not is_allowed(found, allow_private=False)


@asynccontextmanager
async def served(answer: bytes, then_hang: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives one answer to everything, and what it was asked."""
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        asked.append(head + await reader.readexactly(length))
        writer.write(answer)
        try:
            await writer.drain()
            if then_hang:
                await asyncio.sleep(5)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}", asked
    server.close()


async def test_a_post_arrives_as_it_was_sent() -> None:
    async with served(b"HTTP/1.1 204 No Content\r\n\r\n") as (url, asked):
        status = await GuardedFetcher(True).post(f"{url}/hook?a=b", {"x-one": "1"}, b"{}", 5)
    assert status == 204
    assert asked[0].startswith(b"POST /hook?a=b HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"x-one: 1" in asked[0]
    assert asked[0].endswith(b"\r\n\r\n{}")


async def test_the_name_stays_in_host_while_the_connection_goes_to_the_address() -> None:
    async with served(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (url, asked):
        port = url.rsplit(":", 1)[1]
        await GuardedFetcher(True, Names(["127.0.0.1"])).post(f"http://hook.example.com:{port}/", {}, b"", 5)
    assert f"host: hook.example.com:{port}".encode() in asked[0]


async def test_a_redirect_is_an_answer_and_not_a_way() -> None:
    async with served(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (inner, asked):
        answer = f"HTTP/1.1 302 Found\r\nlocation: {inner}/\r\ncontent-length: 0\r\n\r\n".encode()
        async with served(answer) as (url, _):
            assert await GuardedFetcher(True).post(url, {}, b"", 5) == 302
    assert asked == []


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1", b"HTTP/1.1 200"], ids=["silent", "stuck", "cut"]
)
async def test_time_is_bounded_in_all(answer: bytes) -> None:
    async with served(answer, then_hang=True) as (url, _):
        with pytest.raises(TimeoutError):
            await GuardedFetcher(True).post(url, {}, b"", 0.2)


async def test_of_an_endless_answer_little_is_read() -> None:
    async with served(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000, then_hang=True) as (url, _):
        assert await GuardedFetcher(True).post(url, {}, b"", 3) == 200


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n"], ids=["hangs up", "speaks another tongue"])
async def test_what_is_no_answer_is_no_connection(answer: bytes) -> None:
    async with served(answer) as (url, _):
        with pytest.raises(ConnectionError):
            await GuardedFetcher(True).post(url, {}, b"", 3)
