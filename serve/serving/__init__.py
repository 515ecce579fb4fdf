"""How models are deployed and how waiting work is ordered. Pure, or asyncio; Ray is reached over its REST API only."""
