export default function AdaptersPage() {
  return <h1>AdaptersPage</h1>;
}
