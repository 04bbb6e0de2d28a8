// What transformers.js makes of a shipped folder: node label.mjs FOLDER < texts > answers, both with a JSON value a line.
// An answer has a text's token ids, its logits (those of one token after another), and what the pipeline finds in it.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { env, pipeline } from '@huggingface/transformers';

env.allowRemoteModels = false;
env.localModelPath = '';
const folder = resolve(process.argv[2]);
const { unit } = JSON.parse(readFileSync(`${folder}/smaller.json`, 'utf8'));
const task = unit === 'word' ? 'token-classification' : 'text-classification';
const classify = await pipeline(task, folder, { session_options: { intraOpNumThreads: 1 } });

for await (const line of createInterface({ input: process.stdin })) {
  const text = JSON.parse(line);
  const tokens = classify.tokenizer(text, { truncation: true });
  const { logits } = await classify.model(tokens);
  const ids = Array.from(tokens.input_ids.data, Number);
  console.log(JSON.stringify({ ids, logits: Array.from(logits.data), found: await classify(text) }));
}
