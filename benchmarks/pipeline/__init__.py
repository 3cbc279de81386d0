"""The whole pipeline beside a bare MQTT subscriber and what else people would use: `python -m benchmarks.pipeline`.

`__main__` is the command line; `stands` says who is measured, `cells` what they are measured by; `rounds` runs them;
`generator` is the process that sends samples and times labels; `figures` and `table` make something readable of it.
"""
