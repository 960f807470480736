"""API Gateway."""

import logging

from ministack.services import apigateway_v1

logger = logging.getLogger("patches.api_gateway")


def apply():
    hide_function_errors()


def hide_function_errors():
    """AWS answers a failed function with 502 `{"message": "Internal server error"}`.

    ministack answers with the error itself, so a test that no error tells what is inside would
    look at something else than AWS's answer.
    """
    original = apigateway_v1._lambda_proxy_response

    def proxy_response(result):
        response, error = original(result)
        if error is None:
            return response, None
        logger.warning("a function failed behind API Gateway: %s", error)
        return None, "Internal server error"

    apigateway_v1._lambda_proxy_response = proxy_response
