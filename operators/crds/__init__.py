"""The custom resources: the documents of `serve.domain` as Kubernetes describes them."""
