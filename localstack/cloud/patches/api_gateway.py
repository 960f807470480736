"""API Gateway."""

import logging

from ministack.services import lambda_svc

logger = logging.getLogger("patches.api_gateway")


def apply():
    hide_function_errors()


def hide_function_errors():
    """AWS answers a failed function with 502 `{"message": "Internal server error"}`.

    ministack answers with the error itself, so a test that no error tells what is inside would
    look at something else than AWS's answer.
    """
    original = lambda_svc.lambda_execute_result_to_api_proxy_response

    def to_response(result):
        if not result.get("error") or result.get("throttle"):
            return original(result)
        logger.warning("a function failed behind API Gateway: %s", result.get("body"))
        return {
            "statusCode": 502,
            "headers": {
                "Content-Type": "application/json",
                "x-amzn-ErrorType": "InternalServerErrorException",
            },
            "body": '{"message": "Internal server error"}',
        }, None

    lambda_svc.lambda_execute_result_to_api_proxy_response = to_response
