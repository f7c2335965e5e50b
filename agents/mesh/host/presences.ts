/** What this host tells controllers for as long as it is there: one presence at each. */
import { Presence } from '../../lib/etcd/presence.ts';
import type { Place } from '../config.ts';
import type { Controllers } from './controllers.ts';

export class Presences {
  readonly #controllers: Controllers;
  readonly #presences = new Map<string, Presence>();

  constructor(controllers: Controllers) {
    this.#controllers = controllers;
  }

  at(controller: Place): Presence {
    let presence = this.#presences.get(controller.name);
    if (!presence) this.#presences.set(controller.name, (presence = new Presence(this.#controllers.client(controller))));
    return presence;
  }

  stop(): void {
    for (const presence of this.#presences.values()) presence.stop();
  }
}
