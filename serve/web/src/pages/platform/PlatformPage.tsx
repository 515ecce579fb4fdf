/** `/platform`: applications, queues, pools and scaling decisions, for administrators. It changes nothing. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Facts, PageFrame, Section } from "@/pages/frame/PageFrame";
import { Table } from "@/ui/table";
import { RequireSession } from "@/shell/RequireSession";
import { strings } from "@/strings";
import { count } from "@/ui/quantities";
import { EmptyState } from "@/ui/states";

import { applicationColumns, DECISIONS, POOLS, QUEUES } from "./columns";
import { decisionsOf, poolsOf, type Queue, type Served, sum } from "./state";

const WORDS = strings.platform;
const REFRESH_MS = 4_000;
const MOST_DECISIONS = 50;

export default function PlatformPage() {
  return (
    <RequireSession title={WORDS.title} text={WORDS.text} scope="admin">
      <Platform />
    </RequireSession>
  );
}

function useServed() {
  return useQuery({
    queryKey: ["platform", "served"],
    queryFn: () => unwrap(api.GET("/v1/admin/served", { params: { query: { limit: 1000 } } })),
    refetchInterval: REFRESH_MS,
  });
}

function useQueues() {
  return useQuery({
    queryKey: ["platform", "queues"],
    queryFn: () => unwrap(api.GET("/v1/admin/queues")),
    refetchInterval: REFRESH_MS,
  });
}

function Platform() {
  const served = useServed();
  const queues = useQueues();
  return (
    <PageFrame title={WORDS.title} text={WORDS.text}>
      <Summary served={served.data?.data} queues={queues.data?.data} />
      <Section title={WORDS.applications} text={WORDS.applicationsText}>
        <Answered query={served}>
          {({ data }) =>
            data.length === 0 ? (
              <EmptyState title={WORDS.empty} text={WORDS.emptyText} />
            ) : (
              <Table
                label={WORDS.applications}
                columns={applicationColumns(queues.data?.data)}
                rows={data}
                keyOf={({ name }) => name}
              />
            )
          }
        </Answered>
      </Section>
      <div className="grid gap-x-8 gap-y-5 lg:grid-cols-2">
        <Section title={WORDS.queues} text={WORDS.queuesText}>
          <Answered query={queues} waiting={<RowsWaiting rows={2} />}>
            {({ data }) =>
              data.length === 0 ? (
                <p className="text-muted">{WORDS.noQueues}</p>
              ) : (
                <Table label={WORDS.queues} columns={QUEUES} rows={data} keyOf={({ model }) => model ?? ""} />
              )
            }
          </Answered>
        </Section>
        <Section title={WORDS.pools} text={WORDS.poolsText}>
          <Answered query={served} waiting={<RowsWaiting rows={2} />}>
            {({ data }) => (
              <Table label={WORDS.pools} columns={POOLS} rows={poolsOf(data)} keyOf={({ name }) => name} />
            )}
          </Answered>
        </Section>
      </div>
      <Section title={WORDS.decisions} text={WORDS.decisionsText}>
        <Answered query={served} waiting={<RowsWaiting rows={3} />}>
          {({ data }) => <Decisions served={data} />}
        </Answered>
      </Section>
    </PageFrame>
  );
}

function Decisions({ served }: { served: Served[] }) {
  const decisions = decisionsOf(served).slice(0, MOST_DECISIONS);
  if (decisions.length === 0) return <p className="text-muted">{WORDS.noDecisions}</p>;
  return (
    <Table
      label={WORDS.decisions}
      columns={DECISIONS}
      rows={decisions}
      keyOf={({ at, model, before, after }) => `${at} ${model} ${String(before)} ${String(after)}`}
    />
  );
}

function Summary({ served, queues }: { served: Served[] | undefined; queues: Queue[] | undefined }) {
  const version = useQuery({
    queryKey: ["platform", "version"],
    queryFn: () => unwrap(api.GET("/v1/admin/version")),
    staleTime: Infinity,
  });
  const ready = served && sum(served, ({ replicas }) => replicas.ready);
  const desired = served && sum(served, ({ replicas }) => replicas.desired);
  return (
    <Facts
      facts={[
        [WORDS.facts.version, version.data?.version],
        [WORDS.facts.models, served && count(served.length)],
        [WORDS.facts.replicas, ready !== undefined && desired !== undefined && WORDS.replicas(ready, desired)],
        [WORDS.facts.waiting, queues && count(sum(queues, ({ waiting }) => waiting))],
        [WORDS.facts.running, queues && count(sum(queues, ({ running }) => running))],
      ]}
    />
  );
}
