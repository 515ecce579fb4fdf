export default function CataloguePage() {
  return <h1>CataloguePage</h1>;
}
