/** Backends of a balancer that packets of this host go to, with those of its overflow, and their numbers. */
import { isBalanced, type Balanced, type Destination, type Target } from '../rows.ts';
import type { Way } from './items.ts';

export class Backends {
  readonly #numbers = new Map<string, number>();

  /** `beyond`: what is at the address of its overflow; of that, no overflow is used. */
  ways({ backends, overflow }: Balanced, beyond: Target | null): Way[] {
    const own = backends.map(({ weight, ...to }) => this.#way(to, weight));
    const others = isBalanced(beyond) ? beyond.backends : [];
    const sum = others.reduce((total, b) => total + b.weight, 0);
    const share = (weight: number): number => (sum === 0 || weight === 0 ? 0 : Math.max(1, Math.round((overflow!.weight * weight) / sum)));
    const isOpen = (overflow?.weight ?? 0) > 0;
    return [...own, ...others.map(({ weight, ...to }) => this.#way(to, isOpen ? share(weight) : 0))];
  }

  #way(to: Destination, weight: number): Way {
    const key = `${to.vnid} ${to.mac}`;
    const number = this.#numbers.get(key) ?? this.#numbers.size + 1;
    this.#numbers.set(key, number);
    return { to, weight, number };
  }
}
