"""The edge worker: takes samples in by MQTT, answers what it is sure of, sends the rest up, publishes every label.

    intake -> decode -> window -> batch (infer, decide) -> journal -> acknowledge -> outbox | uplink
                                                                         replies -> journal -> outbox

Nothing here waits for the network: the journal keeps what was decided, and threads of their own carry it out.
"""
