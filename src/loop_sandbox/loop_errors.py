"""Loop's error bodies."""

from __future__ import annotations

from http import HTTPStatus

from loop_sandbox.wire import Answer, json_answer


def unauthorized() -> Answer:
    error = {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}
    return json_answer({"error": error}, 401)


def unauthorized_action() -> Answer:
    """Of actions, with status 200."""
    return json_answer({"errors": "Unauthorized."})


def forbidden() -> Answer:
    """403 as it was seen on remove."""
    return json_answer({"errors": [{"message": "This action is unauthorized."}]}, 403)


def page(status: int) -> Answer:
    """What stands before the system answers by itself."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return Answer(status, f"<html><h1>{title}</h1></html>".encode(), "text/html")


def no_return(status: str, field: str, code: str = "NOT_FOUND") -> Answer:
    """No such return: 404, or 200 with the message under `field`."""
    if status == "200":
        return json_answer({field: {"message": "No return found with this ID."}})
    return not_found(code)


def too_many(retry_after: int | None) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return json_answer({"message": "Too Many Attempts."}, 429, headers)


def not_found(code: str = "NOT_FOUND", what: str = "Not found.") -> Answer:
    return json_answer({"errors": {"message": what, "code": code}}, 404)


def invalid(field: str, message: str) -> Answer:
    """422 in the usual shape of a validation error."""
    return json_answer({"message": message, "errors": {field: [message]}}, 422)


def unexpected() -> Answer:
    errors = {"message": "Something went wrong.", "code": "UNEXPECTED_ERROR"}
    return json_answer({"errors": errors}, 500)


def refusal(state: str, verb: str, *, code: str | None = None) -> Answer:
    """A refusal, with status 200 as all of them: closed ones carry a code, others do not."""
    message = f"Return is {state} and therefore cannot be {verb}."
    if code is None and state == "closed":
        code = "UNPROCESSABLE_RETURN"
    if code is not None:
        return json_answer({"errors": {"message": message, "code": code}})
    return json_answer({"message": message})
