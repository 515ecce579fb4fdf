"""The operations, in files by what they work on: each a small class with typed ports and a function.
`serve.workflow.operations` lists them all.

    texts template numbers json_values json_path embeddings lists flow     values: done by the runner, in microseconds
    resizing compositing retouching masks inscribing                       pictures: done by the operations' application

`operation_inputs` reads and checks what is given, `bounds` keeps values from growing without end, `pictures` is what
those on pictures share, and `schemas` the pieces that their ports are described with.
"""
