from google.protobuf.message import Message

class Int64Value(Message):
    value: int
    def __init__(self, value: int = ...) -> None: ...
