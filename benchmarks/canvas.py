"""Does the workflow editor's canvas stay as quick as React Flow itself with 300 nodes on it?

    python -m benchmarks.canvas --out canvas.json

Headless Chromium shows the editor of a real platform with a workflow of 300 nodes, and React Flow's plain stress
example with as many (`canvas_plain`, built with the same packages). In turns, each is panned and has a node dragged
over it by the mouse, once with all nodes in view and once at 100%, and the times between frames are taken in the
page. The mouse moves on as soon as the page has taken its last move: `moves_per_frame` near 1 tells that there was
something to draw in each frame. Read first `editor_by_plain`: the frames a second of the one over those of the other
(the aim is 0.8), and `editor.*.*.frames_per_second` (the aim is 50; a screen shows 60).
"""

import argparse
import asyncio
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
_STEPS = 100
"""Of one gesture: moves of the mouse, there and back."""
_ZOOMS = {"whole": "Shift+Digit1", "close": "Shift+Digit0"}
"""All nodes in view, and at 100%: the keys for it, which `canvas_plain` has too."""
_SETTLE_MS = 2000
_GESTURES = ("pan", "drag")
_SPOT = """(gesture) => {
  const [left, top, right, bottom] = [300, 150, 900, 700];
  const wanted = gesture === "pan" ? ".react-flow__pane" : ".react-flow__node";
  for (let y = top; y < bottom; y += 6) for (let x = left; x < right; x += 6) {
    const found = document.elementFromPoint(x, y);
    if (gesture === "pan" ? found?.matches(wanted) : found?.closest(wanted) && !found.closest(".nodrag")) return [x, y];
  }
  return null;
}"""
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
    samples: dict[tuple[str, str, str], list[list[float]]] = {}
    for zoom, keys in _ZOOMS.items():
        for page in pages.values():
            await page.bring_to_front()
            await page.keyboard.press(keys)
            await page.wait_for_timeout(500)
        for number in range(num_rounds):
            for name in sorted(pages, reverse=number % 2 == 1):
                for gesture in _GESTURES:
                    logger.info("round %d, %s: %s, %s", number + 1, zoom, name, gesture)
                    frames = await _watched(pages[name], gesture)
                    samples.setdefault((name, zoom, gesture), []).append(frames)
    told: dict[str, Any] = {name: {zoom: {} for zoom in _ZOOMS} for name in pages}
    for (name, zoom, gesture), rounds in samples.items():
        told[name][zoom][gesture] = _told(rounds)
    return {"editor_by_plain": {zoom: _ratios(told, zoom) for zoom in _ZOOMS}} | told


def _ratios(told: Mapping[str, Any], zoom: str) -> dict[str, float]:
    def rate(name: str, gesture: str) -> float:
        return float(told[name][zoom][gesture]["frames_per_second"])

    return {gesture: round(rate("editor", gesture) / rate("plain", gesture), 3) for gesture in _GESTURES}


def _told(rounds: list[list[float]]) -> dict[str, Any]:
    """The middle round's frames a second; of all frames, the longest twentieth and the longest."""
    rates = [1000 * len(frames) / sum(frames) for frames in rounds]
    every = sorted(frame for frames in rounds for frame in frames)
    return {
        "frames_per_second": round(statistics.median(rates), 1),
        "rounds": [round(rate, 1) for rate in rates],
        "moves_per_frame": round(_STEPS * len(rounds) / len(every), 2),
        "frame_ms_p95": round(every[int(len(every) * 0.95)], 1),
        "frame_ms_longest": round(every[-1], 1),
    }


async def _watched(page: Page, gesture: str) -> list[float]:
    """The frames' times while the mouse, pressed, goes away and comes back to where it was."""
    await page.bring_to_front()
    spot = await page.evaluate(_SPOT, gesture)
    if spot is None:
        raise LoadFailed(f"there is nothing in sight to {gesture}")
    x, y = spot
    await page.mouse.move(x, y)
    await page.wait_for_timeout(300)
    await page.evaluate(_WATCH_FRAMES)
    await page.mouse.down()
    moving: list[asyncio.Task[None]] = []
    for step in range(1, _STEPS + 1):
        away = min(step, _STEPS - step)
        moving.append(asyncio.create_task(page.mouse.move(x + 4 * away, y + 2 * away)))
        # One is always on its way, so that the next frame need not wait for it.
        if len(moving) > 1:
            await moving.pop(0)
    await asyncio.gather(*moving)
    await page.mouse.up()
    frames: list[float] = await page.evaluate(_FRAMES)
    # The editor saves what was moved, and the platform checks it: not while the other one is measured.
    await page.wait_for_timeout(_SETTLE_MS)
    return frames


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
    document = {"format": "workflow/v1", "nodes": nodes, "layout": {"nodes": places}}
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
