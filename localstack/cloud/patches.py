"""The patches, each with what AWS does instead of what the pinned ministack does."""


def apply():
    pass
