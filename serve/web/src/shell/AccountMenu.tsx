/** Who one is, for which tenant one acts, how the page looks; and out. */
import { useMutation } from "@tanstack/react-query";
import { CircleUser } from "lucide-react";

import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import { finishWriting } from "@/api/owner";
import type { Me } from "@/api/types";
import { strings } from "@/strings";
import { chooseTheme, type ThemeChoice, useThemeChoice } from "@/theme/theme";
import { Button } from "@/ui/button";
import { Menu, type MenuHeading, type MenuItem } from "@/ui/menu";
import { toast } from "@/ui/toast";

import { useForgetSession, useSession } from "./session";
import { useShellView } from "./shell-view";
import { useSignOut } from "./signing-out";

const words = strings.shell;
const THEMES: ThemeChoice[] = ["dark", "light", "system"];

/** The person's name, or that a key acts. */
export function nameOf(me: Me): string {
  return me.user?.name || me.user?.email || words.aKey(me.key_id);
}

export function AccountMenu() {
  const { me } = useSession();
  const chosen = useThemeChoice();
  const signOut = useSignOut();
  const switchTenant = useTenantSwitch();
  const show = useShellView((view) => view.show);
  const label = me === null ? words.noAccount : words.account(nameOf(me), me.tenant ?? null);
  const items: (MenuItem | MenuHeading | null)[] = [
    ...(me === null ? [] : [{ heading: me.user?.email || nameOf(me) }, ...tenantItems(me, switchTenant), null]),
    { heading: words.theme.label },
    ...THEMES.map((theme) => ({
      label: words.theme[theme],
      isChecked: theme === chosen,
      run: () => {
        chooseTheme(theme);
      },
    })),
    null,
    {
      label: words.keys.title,
      keys: "?",
      run: () => {
        show("keys");
      },
    },
    ...(me === null || me.csrf_token === null ? [] : [{ label: words.signOut, run: () => void signOut() }]),
  ];
  return (
    <Menu
      align="end"
      items={items}
      trigger={
        <Button kind="quiet" aria-label={label} className="max-w-44">
          <CircleUser size={16} aria-hidden />
          {me !== null && <span className="truncate max-lg:hidden">{me.tenant ?? nameOf(me)}</span>}
        </Button>
      }
    />
  );
}

function tenantItems(me: Me, switchTo: (tenant: string) => void): (MenuItem | MenuHeading)[] {
  if (me.tenants.length < 2 || me.csrf_token === null)
    return me.tenant === null ? [] : [{ heading: words.inTenant(me.tenant) }];
  return [
    { heading: words.tenant },
    ...me.tenants.map(({ tenant }) => ({
      label: tenant,
      isChecked: tenant === me.tenant,
      run: () => {
        switchTo(tenant);
      },
    })),
  ];
}

function useTenantSwitch(): (tenant: string) => void {
  const forget = useForgetSession();
  const { mutate } = useMutation({
    mutationFn: async (tenant: string) => {
      await finishWriting();
      return unwrap(api.POST("/v1/session/tenant", { body: { tenant } }));
    },
    onSuccess: async (me) => {
      await forget();
      toast(words.inTenant(me.tenant ?? ""));
    },
    onError: (thrown) => {
      toast(asApiError(thrown).message, "bad");
    },
  });
  return mutate;
}
