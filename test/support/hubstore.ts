/** A control plane's store in a process of its own, which dies without a word: node hubstore.ts DIR [METADATA]; prints what it found. */
import { HubStore } from '../../agents/hub/control/store.ts';
import { metadata } from '../../agents/hub/model.ts';
import { parsed } from '../../src/core/lightjson.ts';

const [dir = '', next] = process.argv.slice(2);
const store = await HubStore.open(dir, () => process.exit(1));
const found = JSON.stringify(store.metadata);
if (next === 'remove') await store.remove();
else if (next !== undefined) await store.put(parsed(metadata, next));
process.stdout.write(found, () => process.exit(0));
