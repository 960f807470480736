"""What makes the pinned ministack behave more like AWS, one file per area.

Each patch says what AWS does. `test_cloud.py` shows for each that ministack alone does otherwise,
and fails when a new version no longer needs the patch.
"""

from . import api_gateway, cloudformation, environments, runtime_api, step_functions, streams


def apply():
    for area in (api_gateway, cloudformation, environments, runtime_api, step_functions, streams):
        area.apply()
