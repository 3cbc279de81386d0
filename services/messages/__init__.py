"""What travels: sample, escalation, reply, label, status, control. Encoding, decoding and the checks at every door.

Samples, escalations and replies are msgpack maps with a version `v`; labels, status and control are JSON for anyone to
read. Decoding trusts nothing: whatever is wrong with the bytes is a `MessageError` with a reason to count.
"""

from services.messages.appearance import appearance, file_kind
from services.messages.fields import SCHEMA_VERSION, MessageError, brief, encoded_json, parse_json
from services.messages.home_assistant import (
    DeviceAnnouncement,
    announcement_topic,
    home_assistant_status_topic,
)
from services.messages.labels import (
    Budget,
    Control,
    Label,
    LabelReason,
    LabelStatus,
    Status,
)
from services.messages.names import (
    control_topic,
    device_of_level,
    file_id,
    frame_id,
    input_topic,
    label_topic,
    level_of_device,
    network_control_topic,
    plain_topic,
    sample_id,
    status_topic,
    window_id,
    window_stream,
)
from services.messages.samples import Audit, Escalation, EscalationHead, Reply, Sample, decode_head, exit_answers
from services.messages.topics import ChannelTopic, InputTopics, topic_filter, without_share
from services.messages.traceparent import TRACEPARENT, traceparent

__all__ = [
    "SCHEMA_VERSION",
    "TRACEPARENT",
    "Audit",
    "Budget",
    "ChannelTopic",
    "Control",
    "DeviceAnnouncement",
    "Escalation",
    "EscalationHead",
    "InputTopics",
    "Label",
    "LabelReason",
    "LabelStatus",
    "MessageError",
    "Reply",
    "Sample",
    "Status",
    "announcement_topic",
    "appearance",
    "brief",
    "control_topic",
    "decode_head",
    "device_of_level",
    "encoded_json",
    "exit_answers",
    "file_id",
    "file_kind",
    "frame_id",
    "home_assistant_status_topic",
    "input_topic",
    "label_topic",
    "level_of_device",
    "network_control_topic",
    "parse_json",
    "plain_topic",
    "sample_id",
    "status_topic",
    "topic_filter",
    "traceparent",
    "window_id",
    "window_stream",
    "without_share",
]
