/** Which state of the workflow: the draft, a version, or what an alias means. */
import { strings } from "@/strings";
import type { Option } from "@/ui/fields";

import { useAliases, useVersions } from "./useVersions";

export function useWhichOptions(workflow: string, hasDraft = true): Option[] {
  const versions = useVersions(workflow);
  const aliases = useAliases(workflow);
  const words = strings.versions;
  const draft = hasDraft ? [{ value: "draft", label: words.app.whichDraft }] : [];
  const numbers = (versions.data?.pages ?? [])
    .flatMap((page) => page.data)
    .map(({ version, note }) => ({
      value: String(version),
      label: note === "" ? words.app.whichVersion(version) : `${words.app.whichVersion(version)}: ${note.slice(0, 60)}`,
    }));
  const names = (aliases.data ?? []).map(({ alias, version }) => ({
    value: alias,
    label: `${alias} (${words.version(version)})`,
  }));
  return [...draft, ...names, ...numbers];
}
