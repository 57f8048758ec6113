import type { Answer, Choice } from './compose.ts';

/** In every answer and every chunk; OpenAI's are `fp_` and ten hex digits. */
const FINGERPRINT = 'fp_simulated';

/** The plain answer, as JSON. */
export function chatCompletion(answer: Answer): string {
  return JSON.stringify({
    ...headOf(answer, 'chat.completion'),
    choices: answer.choices.map((choice, index) => ({
      index,
      message: messageOf(choice),
      logprobs: null,
      finish_reason: choice.finish,
    })),
    usage: usageOf(answer),
  });
}

/** The stream, beat by beat: what is sent at the same moment. One token of each choice, or its end. */
export function* chatEvents(answer: Answer, includeUsage: boolean): Generator<string, void> {
  const head = JSON.stringify(headOf(answer, 'chat.completion.chunk')).slice(0, -1);
  const usage = includeUsage ? ',"usage":null' : '';
  const event = (index: number, delta: string, finish: string): string =>
    `data: ${head},"choices":[{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${usage}}\n\n`;

  const beats = answer.choices.reduce((most, { ends }) => Math.max(most, ends.length), 0);
  let beat = answer.choices.map((choice, index) => event(index, JSON.stringify(firstDelta(choice)), 'null')).join('');
  for (let at = 0; at <= beats; at++) {
    for (const [index, choice] of answer.choices.entries()) {
      if (at < choice.ends.length) beat += event(index, contentDelta(choice, at), 'null');
      if (at === choice.ends.length) beat += event(index, '{}', `"${choice.finish}"`);
    }
    if (at < beats) yield beat;
    if (at < beats) beat = '';
  }
  if (includeUsage) beat += `data: ${head},"choices":[],"usage":${JSON.stringify(usageOf(answer))}}\n\n`;
  yield `${beat}data: [DONE]\n\n`;
}

function headOf({ id, created, model }: Answer, object: string): object {
  return { id, object, created, model, system_fingerprint: FINGERPRINT };
}

function messageOf({ text, tool }: Choice): object {
  if (tool === undefined) return { role: 'assistant', content: text, refusal: null, annotations: [] };
  const call = { id: tool.id, type: 'function', function: { name: tool.name, arguments: text } };
  return { role: 'assistant', content: null, tool_calls: [call], refusal: null, annotations: [] };
}

function firstDelta({ tool }: Choice): object {
  if (tool === undefined) return { role: 'assistant', content: '', refusal: null };
  const call = { index: 0, id: tool.id, type: 'function', function: { name: tool.name, arguments: '' } };
  return { role: 'assistant', content: null, tool_calls: [call], refusal: null };
}

function contentDelta({ text, ends, tool }: Choice, at: number): string {
  const piece = JSON.stringify(text.slice(at === 0 ? 0 : ends[at - 1], ends[at]));
  return tool === undefined ? `{"content":${piece}}` : `{"tool_calls":[{"index":0,"function":{"arguments":${piece}}}]}`;
}

function usageOf({ promptTokens, completionTokens }: Answer): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
