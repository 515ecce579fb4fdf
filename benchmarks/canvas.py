"""Does the workflow editor's canvas stay as quick as React Flow itself with 300 nodes on it?

    python -m benchmarks.canvas --out canvas.json

Headless Chromium shows the editor of a real platform with a workflow of 300 nodes, and React Flow's plain stress
example with as many (`canvas_plain`, built with the same packages). In turns, each is panned with the wheel and has a
node dragged over it, and the times between frames are taken in the page. Read first `editor_by_plain`: the frames a
second of the one over those of the other (the aim is 0.8), and `editor.*.frames_per_second` (the aim is 50).
"""

import argparse
import functools
import http.server
import logging
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.command import print_result
from benchmarks.load import LoadFailed
from benchmarks.machine import circumstances
from benchmarks.servers import Slipway

AIMS = {"editor_by_plain": 0.8, "frames_per_second": 50}
_WEB = Path(__file__).parents[1] / "serve/web"
_PLAIN = Path(__file__).parent / "canvas_plain"
_COLUMNS = 20
_VIEW = {"width": 1440, "height": 900}
_STEPS = 120
"""Of one gesture: mouse events, each sent when the page has drawn the one before."""
_WATCH_FRAMES = """() => {
  window.frames_ms = []; let last = performance.now();
  const each = (now) => {
    window.frames_ms.push(now - last); last = now;
    window.watching = requestAnimationFrame(each);
  };
  window.watching = requestAnimationFrame(each);
}"""
_FRAMES = "() => { cancelAnimationFrame(window.watching); return window.frames_ms.slice(1); }"
logger = logging.getLogger(__name__)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5, help="of everything, in turns")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--quick", action="store_true", help="one round of 30 nodes: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.nodes, options.rounds = 30, 1
    print_result(_measure(options), options.out)


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    found = {"benchmark": "canvas"} | circumstances(sys.argv[1:]) | {"aims": AIMS, "nodes": options.nodes}
    platform = Slipway({})
    target, processes = await platform.start()
    try:
        with _plain_server() as plain:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
                found["chromium"] = browser.version
                await _store(target.url, target.key, options.nodes)
                pages = {
                    "editor": await _editor(browser, target.url, target.key),
                    "plain": await _opened(browser, f"{plain}/?nodes={options.nodes}"),
                }
                found |= await _rounds(pages, options.rounds)
                await browser.close()
    finally:
        await platform.stop()
        await processes.end()
    return found


async def _rounds(pages: Mapping[str, Page], num_rounds: int) -> dict[str, Any]:
    samples: dict[str, dict[str, list[list[float]]]] = {name: {"pan": [], "drag": []} for name in pages}
    for number in range(num_rounds):
        for name in sorted(pages, reverse=number % 2 == 1):
            for gesture, make in (("pan", _pan), ("drag", _drag)):
                logger.info("round %d: %s, %s", number + 1, name, gesture)
                samples[name][gesture].append(await _watched(pages[name], make))
    told = {name: {kind: _told(rounds) for kind, rounds in kinds.items()} for name, kinds in samples.items()}
    ratios = {
        kind: round(told["editor"][kind]["frames_per_second"] / told["plain"][kind]["frames_per_second"], 3)
        for kind in ("pan", "drag")
    }
    return {"editor_by_plain": ratios} | told


def _told(rounds: list[list[float]]) -> dict[str, Any]:
    """The middle round's frames a second; of all frames, the longest twentieth and the longest."""
    rates = [1000 * len(frames) / sum(frames) for frames in rounds]
    every = sorted(frame for frames in rounds for frame in frames)
    return {
        "frames_per_second": round(statistics.median(rates), 1),
        "rounds": [round(rate, 1) for rate in rates],
        "frame_ms_p95": round(every[int(len(every) * 0.95)], 1),
        "frame_ms_longest": round(every[-1], 1),
    }


async def _watched(page: Page, make: Any) -> list[float]:
    await page.bring_to_front()
    await page.evaluate(_WATCH_FRAMES)
    await make(page)
    frames: list[float] = await page.evaluate(_FRAMES)
    return frames


async def _pan(page: Page) -> None:
    """There and back, over the canvas's middle."""
    await page.mouse.move(_VIEW["width"] / 2, 120)
    await page.locator(".react-flow__pane").hover(position={"x": 500, "y": 20}, force=True)
    for step in range(_STEPS):
        sign = 1 if step < _STEPS // 2 else -1
        await page.mouse.move(500 + sign * (step % 5), 400)
        await page.mouse.wheel(0, sign * 24)
        await _drawn(page)


async def _drag(page: Page) -> None:
    """The first node that is in sight, in a circle's worth of steps, and back where it was."""
    box = await page.locator(".react-flow__node").first.bounding_box()
    if box is None:
        raise LoadFailed("no node is in sight")
    x, y = box["x"] + min(40.0, box["width"] / 2), box["y"] + 10
    await page.mouse.move(x, y)
    await page.mouse.down()
    for step in range(_STEPS):
        away = min(step, _STEPS - 1 - step)
        await page.mouse.move(x + 4 * away, y + 2 * away)
        await _drawn(page)
    await page.mouse.up()


async def _drawn(page: Page) -> None:
    await page.evaluate("() => new Promise(requestAnimationFrame)")


async def _opened(browser: Browser, url: str, headers: Mapping[str, str] | None = None) -> Page:
    context = await browser.new_context(viewport=_VIEW, extra_http_headers=dict(headers or {}))  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(url)
    await page.locator(".react-flow__node").first.wait_for(timeout=60_000)
    await page.wait_for_timeout(1500)
    return page


async def _editor(browser: Browser, url: str, key: str) -> Page:
    return await _opened(browser, f"{url}/w/bench-canvas", {"Authorization": f"Bearer {key}"})


async def _store(url: str, key: str, num_nodes: int) -> None:
    """A chain of text operations, laid out in rows: each shows two fields, two ports and a link."""
    names = [f"n{index}" for index in range(num_nodes)]
    nodes = {
        name: {
            "type": "op:text.join",
            "inputs": {"texts": [f"word {index}", *([{"$ref": [names[index - 1], "text"]}] if index else [])]},
        }
        for index, name in enumerate(names)
    }
    places = {name: {"x": index % _COLUMNS * 320, "y": index // _COLUMNS * 220} for index, name in enumerate(names)}
    document = {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "bench-canvas"},
        "spec": {"nodes": nodes, "layout": {"nodes": places}},
    }
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        answer = await client.put("/v1/workflows/bench-canvas/draft", json=document)
        if answer.is_error:
            raise LoadFailed(f"the draft was refused: {answer.text[:500]}")


@contextmanager
def _plain_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        build = [
            "npx",
            "vite",
            "build",
            "--config",
            str(_PLAIN / "vite.config.ts"),
            "--outDir",
            folder,
            "--emptyOutDir",
        ]
        made = subprocess.run(build, cwd=_WEB, capture_output=True, text=True, check=False)
        if made.returncode:
            raise LoadFailed(f"the plain example cannot be built (make ui first):\n{made.stdout}{made.stderr}")
        handler = functools.partial(_Quiet, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Standard error is the benchmark's."""


if __name__ == "__main__":
    main()
