from collections.abc import Mapping, Sequence

class FieldDescriptor:
    name: str
    number: int
    type: int
    is_repeated: bool
    message_type: Descriptor | None
    enum_type: EnumDescriptor | None

class EnumValueDescriptor:
    name: str
    number: int

class EnumDescriptor:
    name: str
    values: Sequence[EnumValueDescriptor]

class Descriptor:
    name: str
    fields: Sequence[FieldDescriptor]
    nested_types: Sequence[Descriptor]
    enum_types: Sequence[EnumDescriptor]

class FileDescriptor:
    name: str
    message_types_by_name: Mapping[str, Descriptor]
    enum_types_by_name: Mapping[str, EnumDescriptor]
