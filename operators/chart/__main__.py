"""`python -m operators.chart [CHART] [K8S]`: write the chart's made files, then k8s/ from the chart."""

import sys
from pathlib import Path

from operators.chart.files import write_files
from operators.chart.rendering import HelmFailed, write_rendered

if __name__ == "__main__":
    chart, folder = (Path(given) for given in (*sys.argv[1:], "helm/slipway", "k8s")[:2])
    write_files(chart)
    try:
        write_rendered(chart, folder)
    except HelmFailed as error:
        raise SystemExit(f"k8s/ was not rendered: {error}") from error
