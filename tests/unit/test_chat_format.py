"""What a chat template is given."""

import pytest

from deployments.engines.chat_format import conversation
from serve.domain.chat import ChatInput
from serve.domain.errors import InvalidRequest

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "sub"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def chat(*messages: dict, **inputs: object) -> ChatInput:
    return ChatInput.model_validate({"messages": list(messages), **inputs})


USER = {"role": "user", "content": "hi"}


def test_text_parts_are_joined_and_a_developer_is_the_system():
    talk = conversation(
        chat({"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, USER),
        template_knows_tools=False,
    )
    assert talk.messages == [{"role": "system", "content": "ab"}, USER]


def test_a_template_without_tools_gets_them_in_a_system_message():
    talk = conversation(chat(USER, tools=[TOOL]), template_knows_tools=False)
    assert talk.tools is None
    assert [message["role"] for message in talk.messages] == ["system", "user"]
    assert '{"type": "function", "function": {"name": "add"' in talk.messages[0]["content"]


def test_there_is_only_one_system_message():
    talk = conversation(chat({"role": "system", "content": "be {brief}"}, USER, tools=[TOOL]), False)
    assert [message["role"] for message in talk.messages] == ["system", "user"]
    assert talk.messages[0]["content"].startswith("be {brief}\n\n")


def test_a_template_with_tools_gets_them_as_they_are_and_arguments_as_objects():
    said = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    told = {"role": "tool", "content": "2", "tool_call_id": "call_1"}
    talk = conversation(chat(USER, said, told, tools=[TOOL]), template_knows_tools=True)
    assert talk.tools is not None
    assert talk.tools[0]["function"]["name"] == "add"
    assert talk.messages[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert talk.messages[2]["tool_call_id"] == "call_1"


def test_earlier_calls_are_written_back_in_the_form_they_were_made_in():
    said = {"role": "assistant", "content": "Well.", "tool_calls": [CALL]}
    told = {"role": "tool", "content": "2", "tool_call_id": "call_1"}
    talk = conversation(chat(USER, said, told), template_knows_tools=False)
    assert talk.messages[1:] == [
        {
            "role": "assistant",
            "content": 'Well.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
        },
        {"role": "user", "content": "<tool_response>\n2\n</tool_response>"},
    ]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        pytest.param("none", [], id="none"),
        pytest.param("auto", ["add", "sub"], id="auto"),
        pytest.param({"type": "function", "function": {"name": "sub"}}, ["sub"], id="named"),
    ],
)
def test_the_model_sees_only_the_tools_it_may_call(choice, names):
    talk = conversation(chat(USER, tools=[TOOL, OTHER], tool_choice=choice), template_knows_tools=True)
    assert [tool["function"]["name"] for tool in talk.tools or ()] == names


def test_a_picture_is_refused_with_its_place():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    with pytest.raises(InvalidRequest) as refused:
        conversation(chat(USER, {"role": "user", "content": [{"type": "text", "text": "x"}, picture]}), False)
    assert (refused.value.code, refused.value.param) == ("unsupported_modality", "messages.1.content.1")
