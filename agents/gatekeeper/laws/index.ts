import type { AgentConfig } from '../config.ts';
import type { Law } from './law.ts';
import { paperLaw } from './paper.ts';

export const LAWS: Readonly<Record<AgentConfig['law'], Law>> = { paper: paperLaw };
