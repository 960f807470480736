"""API Gateway."""

import logging

from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

logger = logging.getLogger("patches.api_gateway")

ANY_METHOD = "x-amazon-apigateway-any-method"
GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"


def apply():
    hide_function_errors()
    import_any_methods()
    import_gateway_responses()
    decode_method_settings()
    decode_binary_media_types()


class FunctionFailed(Exception):
    """Carries the error of a function behind API Gateway to where its answer is made."""


def hide_function_errors():
    """AWS answers a failed function with a 502 that says nothing, as the gateway response DEFAULT_5XX is.

    ministack answers with the error itself, so a test that no error tells what is inside would
    look at something else than AWS's answer.
    """
    shape_response = apigateway_v1._lambda_proxy_response
    invoke = apigateway_v1._invoke_lambda_proxy_v1
    render = apigateway_v1._gateway_error_response

    def proxy_response(result):
        response, error = shape_response(result)
        if error is not None:
            raise FunctionFailed(error)
        return response, None

    async def invoke_or_fail(*arguments, **options):
        try:
            return await invoke(*arguments, **options)
        except FunctionFailed as failed:
            logger.warning("a function failed behind API Gateway: %s", failed)
            error = apigateway_v1._GatewayError("DEFAULT_5XX", "Internal server error")
            error.status = 502
            return error

    def with_its_status(error, request):
        status, headers, body = render(error, request)
        return getattr(error, "status", status), headers, body

    apigateway_v1._lambda_proxy_response = proxy_response
    apigateway_v1._invoke_lambda_proxy_v1 = invoke_or_fail
    apigateway_v1._gateway_error_response = with_its_status


def import_any_methods():
    """On AWS a path's ANY method serves every method that the path does not name.

    ministack has such methods, and drops them when it imports a definition, which is what a SAM
    template becomes.
    """
    original = apigateway_v1._import_path_item

    def import_path_item(api_id, path, path_item, *arguments):
        named = {"any" if key == ANY_METHOD else key: value for key, value in path_item.items()}
        original(api_id, path, named, *arguments)

    apigateway_v1._OPENAPI_HTTP_METHODS.add("any")
    apigateway_v1._import_path_item = import_path_item


def import_gateway_responses():
    """On AWS the gateway responses of a definition, as of a SAM API, are those of the API.

    ministack has gateway responses, and drops those of a definition.
    """
    original = apigateway_v1._import_rest_api

    def import_rest_api(definition, *arguments):
        api_id = original(definition, *arguments)
        for response_type, response in (definition.get(GATEWAY_RESPONSES) or {}).items():
            status, _, body = apigateway_v1._put_gateway_response(api_id, response_type, response)
            if status >= 400:
                raise ValueError(f"gateway response {response_type}: {body!r}")
        return api_id

    apigateway_v1._import_rest_api = import_rest_api


def decode_method_settings():
    """CloudFormation takes the path of a method's settings encoded, `/~1api~1orders` for `/api/orders`.

    ministack takes it as it is, and finds no method with such a path: its limits do not hold.
    """
    original = provisioners._apigw_method_settings

    def method_settings(raw):
        settings = original(raw)
        decoded = apigateway_v1._decode_json_pointer_token
        return {decoded(key.removeprefix("/~1")): value for key, value in settings.items()}

    provisioners._apigw_method_settings = method_settings


def decode_binary_media_types():
    """CloudFormation takes the binary media types of an API encoded, `*~1*` for `*/*`.

    ministack takes them as they are, and passes every body as text, in which bytes that are not
    UTF-8 are replaced. A body without a media type is one of `application/json` on AWS.
    """
    original = apigateway_v1._import_rest_api
    matches = apigateway_v1._media_type_matches

    def import_rest_api(definition, base=None):
        decoded = apigateway_v1._decode_json_pointer_token
        base = dict(base or {})
        base["binaryMediaTypes"] = [decoded(each) for each in base.get("binaryMediaTypes") or []]
        return original(definition, base)

    def media_type_matches(media_type, binary_media_types):
        return matches(media_type or "application/json", binary_media_types)

    apigateway_v1._import_rest_api = import_rest_api
    apigateway_v1._media_type_matches = media_type_matches
