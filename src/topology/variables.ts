/** `${name}` and `${name * 0.7}` in any text of a topology. */
import type { Path, Problem } from '../core/config/problems.ts';
import { isInherited } from '../core/config/characters.ts';
import { MAX_CHARACTERS } from '../core/config/size.ts';
import { suggest } from '../core/config/validate.ts';

export type Scalar = string | number | boolean;
export type Variables = Readonly<Record<string, Scalar>>;

const EXPRESSION = /\$\{([^{}]*)\}/g;
const WHOLE = /^\$\{([^{}]*)\}$/;
const FORM = /^\s*([A-Za-z_][A-Za-z0-9_-]*)\s*(?:\*\s*([0-9]+(?:\.[0-9]+)?)\s*)?$/;

/** Replaces expressions in the texts of one cell. `problems` gets what cannot be replaced. */
export class Substitution {
  readonly #problems: Problem[];
  /** Variables may double what they are made of: what all texts together come to is bounded. */
  #charactersLeft = MAX_CHARACTERS;

  constructor(problems: Problem[]) {
    this.#problems = problems;
  }

  /** Every expression below `value`; a text that is one expression takes the variable's own type. */
  in(value: unknown, variables: Variables, path: Path): unknown {
    if (typeof value === 'string') return this.#inText(value, variables, path);
    if (Array.isArray(value)) return value.map((item, i) => this.in(item, variables, [...path, i]));
    if (value !== null && typeof value === 'object')
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.in(item, variables, [...path, key])]));
    return value;
  }

  #inText(text: string, variables: Variables, path: Path): unknown {
    const whole = WHOLE.exec(text);
    if (whole) return this.#evaluate(whole[1] as string, variables, path);
    const made = text.replace(EXPRESSION, (_, body: string) => {
      const value = String(this.#evaluate(body, variables, path));
      if (value.length > this.#charactersLeft) {
        if (this.#charactersLeft > 0)
          this.#problems.push({ path, message: `variables make texts of more than ${MAX_CHARACTERS} characters in all` });
        this.#charactersLeft = 0;
        return '';
      }
      this.#charactersLeft -= value.length;
      return value;
    });
    if (isInherited(made)) this.#problems.push({ path, message: `"${made}" cannot be a name`, hint: 'choose another one' });
    return made;
  }

  #evaluate(body: string, variables: Variables, path: Path): Scalar {
    const form = FORM.exec(body);
    if (!form) {
      this.#problems.push({ path, message: `cannot read the expression "\${${body}}"`, hint: 'write ${name} or ${name * 0.5}' });
      return '';
    }
    const name = form[1] as string;
    if (!Object.hasOwn(variables, name)) {
      const near = suggest(name, Object.keys(variables));
      this.#problems.push({
        path,
        message: `unknown variable "${name}"`,
        hint: near ? `did you mean "${near}"?` : 'declare it under vars',
      });
      return '';
    }
    const value = variables[name] as Scalar;
    return form[2] === undefined ? value : scale(value, Number(form[2]), path, this.#problems);
  }
}

/** 0.7 × "100Mbit" = "70Mbit". */
function scale(value: Scalar, factor: number, path: Path, problems: Problem[]): Scalar {
  if (typeof value === 'number') return value * factor;
  const quantity = /^([0-9]+(?:\.[0-9]+)?)( ?[A-Za-zµ%]*)$/.exec(String(value));
  if (!quantity) {
    problems.push({ path, message: `cannot multiply "${String(value)}"`, hint: 'only quantities such as 100Mbit can be multiplied' });
    return value;
  }
  return `${Number((Number(quantity[1]) * factor).toPrecision(12))}${quantity[2]}`;
}
