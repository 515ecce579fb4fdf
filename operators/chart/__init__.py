"""What of the chart is made from the rest of the project, so that it cannot differ from it.

`values` says what the chart's values are; from it comes values.schema.json. The operator's Role comes from
`operators.permissions`, rules and dashboards from serve.telemetry, the specs of documents from their classes.
`rendering` writes k8s/, which is the chart with each preset. `python -m operators.chart` writes all of it.
"""
