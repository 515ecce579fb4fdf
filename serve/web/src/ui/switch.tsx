import { Switch as Radix } from "radix-ui";
import { useId } from "react";

interface SwitchProps {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}

export function Switch({ label, checked, onChange, disabled }: SwitchProps) {
  const id = useId();
  return (
    <div className="flex h-7 items-center justify-between gap-2">
      <label htmlFor={id} className="text-sm text-muted">
        {label}
      </label>
      <Radix.Root
        id={id}
        checked={checked}
        onCheckedChange={onChange}
        disabled={disabled}
        className="relative h-4 w-7 rounded-full transition-colors before:absolute before:-inset-x-0.5 before:-inset-y-1.5 border border-line-strong bg-line data-[state=checked]:border-accent data-[state=checked]:bg-accent"
      >
        <Radix.Thumb className="block size-3 translate-x-px rounded-full bg-fg transition-transform data-[state=checked]:translate-x-[13px] data-[state=checked]:bg-accent-fg" />
      </Radix.Root>
    </div>
  );
}
