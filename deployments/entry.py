"""The entry deployment that every model's application has, and that never runs.

Ray takes the outermost deployment of an application for its HTTP entry, and refuses it a request router of its own
where HAProxy is the proxy. Models have no HTTP entry: handles call them. So an entry without replicas stands in front,
which costs a line in the controller's books and no process.
"""

from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle

from serve.domain.errors import EngineFailed
from serve.serving.serve_config import ENTRY_DEPLOYMENT


class Entry:
    """Nobody calls it, so that Ray never has a reason to start it."""

    def __init__(self, replicas: DeploymentHandle[object]) -> None:
        """`replicas`: the model's own deployment, which is what is called."""

    async def __call__(self) -> None:
        """Say so to whoever calls it all the same."""
        raise EngineFailed("A model is called by its replicas' handle, not by its application's entry.")


def behind_entry(replicas: ray_serve.Application) -> ray_serve.Application:
    """The application whose deployment `replicas` is reached by handles alone."""
    never = {"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1}
    entry = ray_serve.deployment(name=ENTRY_DEPLOYMENT, autoscaling_config=never, ray_actor_options={"num_cpus": 0})(
        Entry
    )
    return entry.bind(replicas)
