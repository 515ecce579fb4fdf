/** Signing in: at the identity provider, by a link that works once, or with a key. */
import { useCallback, useEffect, useRef, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";

import { asApiError } from "@/api/errors";
import { nameOf } from "@/shell/AccountMenu";
import { returnPath } from "@/shell/return-to";
import { useForgetSession, useSession, useSite } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { CodeBlock } from "@/ui/code";
import { Skeleton } from "@/ui/states";

import { KeyForm } from "./KeyForm";
import { signInByCode, takeCode } from "./signing-in";

const words = strings.shell.signInPage;

export default function SignInPage() {
  const { me } = useSession();
  const place = returnPath(useSearch());
  const goOn = useGoOn(place);
  const link = useArrivedLink(goOn);
  return (
    <div className="mx-auto flex w-full max-w-sm flex-col gap-6 px-4 py-16 max-sm:py-8">
      <header className="flex flex-col gap-1">
        <h1 className="text-xl font-bold">{words.title}</h1>
        <p className="text-muted">{words.text}</p>
      </header>
      {link.isChecking ? (
        <p role="status">{words.checking}</p>
      ) : (
        <>
          {link.refusal !== null && (
            <div role="alert" className="rounded-md border border-bad px-3 py-2">
              <p className="font-medium text-bad">{words.linkFailed}</p>
              <p>{link.refusal}</p>
            </div>
          )}
          {link.isAsking && me !== null && <AskFirst name={nameOf(me)} link={link} />}
          {me === null ? <Ways place={place} onSignedIn={goOn} /> : <SignedIn name={nameOf(me)} place={place} />}
        </>
      )}
    </div>
  );
}

/** The page reads everything anew as whoever it is now, and leaves for `place`. */
function useGoOn(place: string): () => Promise<void> {
  const forget = useForgetSession();
  const [, navigate] = useLocation();
  return useCallback(async () => {
    await forget();
    navigate(place, { replace: true });
    // What these do does not change; their identities do.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [place]);
}

interface ArrivedLink {
  isChecking: boolean;
  refusal: string | null;
  /** A link is here, and somebody is signed in already. */
  isAsking: boolean;
  use: () => void;
  drop: () => void;
}

/** Signs in with the code that came in the address: at once, and when a link is opened over this page. Whoever is signed
 * in is asked first: somebody else may have sent the link, to see what is done next in their account. */
function useArrivedLink(goOn: () => Promise<void>): ArrivedLink {
  const { isLoading, isSignedIn } = useSession();
  const [code, setCode] = useState<string | null>(null);
  const [isChecking, setChecking] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const spent = useRef<string | null>(null);
  useEffect(() => {
    const arrive = () => {
      const arrived = takeCode();
      if (arrived !== null) setCode(arrived);
    };
    arrive();
    window.addEventListener("hashchange", arrive);
    return () => {
      window.removeEventListener("hashchange", arrive);
    };
  }, []);
  const spend = useCallback(
    async (one: string) => {
      // An effect may come twice; the code is good for once.
      if (spent.current === one) return;
      spent.current = one;
      setCode(null);
      setChecking(true);
      setRefusal(null);
      try {
        await signInByCode(one);
        await goOn();
      } catch (thrown) {
        setRefusal(asApiError(thrown).message);
      }
      setChecking(false);
    },
    [goOn],
  );
  const isFree = code !== null && !isLoading && !isSignedIn;
  useEffect(() => {
    if (isFree)
      queueMicrotask(() => {
        void spend(code);
      });
  }, [isFree, code, spend]);
  return {
    isChecking: isChecking || isFree || (code !== null && isLoading),
    refusal,
    isAsking: code !== null && isSignedIn,
    use: () => {
      if (code !== null) void spend(code);
    },
    drop: () => {
      setCode(null);
    },
  };
}

function AskFirst({ name, link }: { name: string; link: ArrivedLink }) {
  return (
    <div role="alert" className="flex flex-col gap-3 rounded-md border border-warn px-3 py-2">
      <p>{words.linkArrived(name)}</p>
      <div className="flex gap-2">
        <Button onClick={link.use}>{words.useLink}</Button>
        <Button kind="primary" onClick={link.drop}>
          {words.stay}
        </Button>
      </div>
    </div>
  );
}

function Ways({ place, onSignedIn }: { place: string; onSignedIn: () => Promise<void> }) {
  const { data: site } = useSite();
  if (site === undefined) return <Skeleton className="h-9 w-full" />;
  const { openid, link, key } = site.login;
  return (
    <div className="flex flex-col gap-6">
      {openid !== null && (
        <Button kind="primary" large asChild>
          <a href={`${openid.url}?return_to=${encodeURIComponent(place)}`}>{words.with(openid.label)}</a>
        </Button>
      )}
      {link && (
        <section className="flex flex-col gap-2 border-t border-line pt-4">
          <h2 className="font-semibold">{words.linkHeading}</h2>
          <p className="text-muted">{words.linkText}</p>
          <CodeBlock code={words.linkCommand} label={words.linkCommandLabel} />
        </section>
      )}
      {key && (
        <section className="flex flex-col gap-2 border-t border-line pt-4">
          <h2 className="font-semibold">{words.keyHeading}</h2>
          <KeyForm onSignedIn={onSignedIn} isPrimary={openid === null} />
        </section>
      )}
      {site.playground.enabled && (
        <p className="border-t border-line pt-4 text-muted">
          {words.anonymous}{" "}
          <Link href="/models" className="text-fg underline underline-offset-2">
            {words.toModels}
          </Link>
        </p>
      )}
    </div>
  );
}

function SignedIn({ name, place }: { name: string; place: string }) {
  return (
    <div className="flex flex-col gap-4 border-t border-line pt-4">
      <p>{words.signedInAs(name)}</p>
      <Button kind="primary" large asChild>
        <Link href={place}>{words.goOn}</Link>
      </Button>
    </div>
  );
}
