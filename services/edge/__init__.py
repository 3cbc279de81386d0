"""The edge worker: takes samples in by MQTT, answers what it is sure of, sends the rest up, publishes every label.

    ingest -> exits -> journal -> acknowledge -> publish
                                              -> escalate -> replies -> journal -> publish

`observe` watches, `upkeep` goes on between batches. Nothing here waits for the network: the journal holds what was
decided, and threads of their own carry it out. docs/explanation/architecture.md has the walk of a sample file by file.
"""
