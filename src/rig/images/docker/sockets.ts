/** Where Docker Engines of this machine listen. */
import { join } from 'node:path';
import { stateRoot } from '../../labs/journal.ts';

export const DEFAULT_ENGINE = '/var/run/docker.sock';

/** Of the engine that netrig starts itself. */
export const ownEngineDir = (): string => join(stateRoot(), '+engine');
export const ownEngineSocket = (): string => join(ownEngineDir(), 'docker.sock');
