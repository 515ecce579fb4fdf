/** The components, as they stand in views. */
import { MoreHorizontal, Search } from "lucide-react";
import { useState } from "react";

import { ApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { CodeBlock } from "@/ui/code";
import { Dialog } from "@/ui/dialog";
import { Select, TextArea, TextField } from "@/ui/fields";
import { Menu } from "@/ui/menu";
import { Progress } from "@/ui/progress";
import { ago, bytes, duration, money } from "@/ui/quantities";
import { Slider } from "@/ui/slider";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";
import { Switch } from "@/ui/switch";
import { Tabs } from "@/ui/tabs";
import { toast } from "@/ui/toast";
import { ButtonKey, Chip, Kbd, StateWord } from "@/ui/words";

const words = strings.design;
const NOTHING = () => undefined;

export function Acts() {
  const [isOpen, setOpen] = useState(false);
  return (
    <div className="flex flex-wrap items-center gap-2">
      <Button kind="primary" large>
        {words.large}
      </Button>
      <Button kind="primary">
        {words.primary} <ButtonKey>Ctrl ↵</ButtonKey>
      </Button>
      <Button>{words.secondary}</Button>
      <Button kind="quiet">{words.quiet}</Button>
      <Button kind="danger">{words.danger}</Button>
      <Button disabled>{words.disabled}</Button>
      <IconButton label={words.icon}>
        <Search size={16} aria-hidden />
      </IconButton>
      <Menu
        trigger={
          <Button aria-label={words.menu}>
            <MoreHorizontal size={16} aria-hidden />
          </Button>
        }
        items={words.menuItems.map((label, index) => ({
          label,
          run: NOTHING,
          isDanger: index === words.menuItems.length - 1,
        }))}
      />
      <Button
        onClick={() => {
          setOpen(true);
        }}
      >
        {words.openDialog}
      </Button>
      <Button
        onClick={() => {
          toast(words.said, "ok");
        }}
      >
        {words.say}
      </Button>
      <Dialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={words.dialogTitle}
      >
        {words.dialogText}
      </Dialog>
    </div>
  );
}

export function Fields() {
  const [steps, setSteps] = useState(25);
  const [hasPreviews, setPreviews] = useState(true);
  return (
    <div className="grid gap-4 sm:grid-cols-2 lg:grid-cols-3">
      <TextArea label={words.prompt} hint={words.promptHint} placeholder={words.sample} />
      <TextField label={words.name} error={words.nameError} defaultValue="banner" />
      <Select label={words.sampler} options={words.samplers.map((label) => ({ value: label, label }))} />
      <Slider label={words.steps} value={steps} onChange={setSteps} minimum={1} maximum={50} step={1} />
      <Switch label={words.previews} checked={hasPreviews} onChange={setPreviews} />
    </div>
  );
}

export function Words() {
  return (
    <div className="flex flex-wrap items-center gap-3">
      <Chip>{money({ usd: "0.004", nano_usd: 4_000_000 })}</Chip>
      <Chip>{duration(185)}</Chip>
      <Chip>{bytes(380_000)}</Chip>
      <Chip>{ago("2030-01-01T11:56:00Z", Date.parse("2030-01-01T12:00:00Z"))}</Chip>
      <StateWord tone="ok">{words.primary}</StateWord>
      <Kbd>Ctrl K</Kbd>
      <div className="w-40">
        <Progress label={words.progress} fraction={16 / 25} />
      </div>
    </div>
  );
}

export function Snippets() {
  const tabs = words.tabNames.map((name) => ({
    value: name,
    label: name,
    content: <CodeBlock code={words.snippet} label={words.snippetLabel} />,
  }));
  return <Tabs label={words.tabs} tabs={tabs} />;
}

export function InPlace() {
  return (
    <div className="grid gap-4 lg:grid-cols-3 [&>*]:w-full [&>*]:max-w-none [&>*]:rounded-md [&>*]:border [&>*]:border-line">
      <EmptyState heading="h3" title={words.empty} text={words.emptyText} action={<Button>{words.emptyAct}</Button>} />
      <ErrorState error={new ApiError(503, "model_not_ready", words.failed)} retry={NOTHING} />
      <div className="flex flex-col gap-3 p-6">
        <Skeleton className="h-7 w-32" />
        <Skeleton className="h-4 w-full" />
        <Skeleton className="h-20 w-full" />
      </div>
    </div>
  );
}
