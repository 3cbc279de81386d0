"""The live page of a site: what its workers decide, what that costs, and where the operator sets the exits.

    MQTT: labels, status, set-point, inputs --+
    workers' /metrics, once a second ---------+--> collect --> state --> page (NiceGUI), one for each browser
    Redis: dead letters ----------------------+                          web: who is let in

The numbers are those of the workers' metrics; the pictures come from the site's inputs. Only this package imports
nicegui.
"""
