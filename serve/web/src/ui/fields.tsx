/** Fields of forms: a label, a control, its error beside it. Every control is labelled and says what is wrong. */
import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react";

import { classes } from "./classes";

export interface FieldProps {
  label: string;
  /** Right of the label, as the value of a slider is. */
  aside?: ReactNode;
  hint?: string;
  error?: string | null;
  /** Gets the ids that tie the control to its label, hint and error. */
  children: (ids: {
    id: string;
    "aria-describedby": string | undefined;
    "aria-invalid": boolean | undefined;
  }) => ReactNode;
  isLabelHidden?: boolean;
}

export function Field({ label, aside, hint, error, children, isLabelHidden = false }: FieldProps) {
  const id = useId();
  const told = error ?? hint;
  return (
    <div className="flex flex-col gap-1">
      <div className={classes("flex items-baseline justify-between gap-2", isLabelHidden && "sr-only")}>
        <label htmlFor={id} className="text-sm text-muted">
          {label}
        </label>
        {aside}
      </div>
      {children({ id, "aria-describedby": told ? `${id}-told` : undefined, "aria-invalid": error ? true : undefined })}
      {told && (
        <p id={`${id}-told`} className={classes("text-sm", error ? "text-bad" : "text-faint")}>
          {told}
        </p>
      )}
    </div>
  );
}

export const CONTROL =
  "w-full rounded-sm border border-line-strong bg-bg px-2 text-fg transition-colors hover:border-faint aria-invalid:border-bad disabled:text-faint";

interface Told {
  label: string;
  hint?: string;
  error?: string | null;
  isLabelHidden?: boolean;
}

export type TextFieldProps = Told & Omit<InputHTMLAttributes<HTMLInputElement>, "id">;

export function TextField({ label, hint, error, isLabelHidden, className, ...rest }: TextFieldProps) {
  return (
    <Field label={label} hint={hint} error={error} isLabelHidden={isLabelHidden}>
      {(ids) => <input type="text" {...rest} {...ids} className={classes(CONTROL, "h-7", className)} />}
    </Field>
  );
}

export type TextAreaProps = Told & Omit<TextareaHTMLAttributes<HTMLTextAreaElement>, "id">;

export function TextArea({ label, hint, error, isLabelHidden, className, ...rest }: TextAreaProps) {
  return (
    <Field label={label} hint={hint} error={error} isLabelHidden={isLabelHidden}>
      {(ids) => <textarea rows={3} {...rest} {...ids} className={classes(CONTROL, "resize-y py-1", className)} />}
    </Field>
  );
}

export interface Option {
  value: string;
  label: string;
}

export type SelectProps = Told & { options: Option[] } & Omit<SelectHTMLAttributes<HTMLSelectElement>, "id">;

/** The browser's own: right on every device and for every reader. */
export function Select({ label, hint, error, isLabelHidden, options, className, ...rest }: SelectProps) {
  return (
    <Field label={label} hint={hint} error={error} isLabelHidden={isLabelHidden}>
      {(ids) => (
        <select {...rest} {...ids} className={classes(CONTROL, "h-7", className)}>
          {options.map(({ value, label: shown }) => (
            <option key={value} value={value}>
              {shown}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
