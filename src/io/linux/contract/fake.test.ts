import { FakeKernel } from "../fake/index.ts";
import { networkContract } from "./index.ts";

const { netns, openRoute } = new FakeKernel();
let paths = 0;

networkContract({ netns, openRoute, freePath: () => `/run/netns/ns-${++paths}` });
